"""What is tried of each model while the others run: what is best for it alone, and what leaves cores to the others."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tcli_analyzer.configuration import Configuration, behaviour_of, instance_count, vary
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.point import Point
from tcli_analyzer.space.labels import variant_label
from tcli_analyzer.space.settings import Settings, read_settings, write_settings
from tcli_analyzer.together.arrangement import Choice
from tcli_analyzer.together.search import Candidates

MOST_CANDIDATES = 7
"""Of a model, the current one among them."""

_LEADERS = 2


@dataclass(frozen=True)
class Room:
    """What a model may take of the machine.

    Attributes:
        cores: of the machine.
        threads: the model's share of them, if they are divided equally among the models.
        instances: counts that may be tried.
        given_threads: the only numbers of threads that may be tried; None for any.
        own: what the model's own configuration says; labels tell what differs.
    """

    cores: int
    threads: int
    instances: tuple[int, ...]
    own: Settings
    given_threads: tuple[int, ...] | None = None


def candidates(
    model: str,
    current: Point,
    leaders: Sequence[Point],
    loads: Sequence[Load],
    room: Room,
    may_win: Callable[[Configuration], bool],
) -> Candidates:
    """A handful: the current configuration, what leads alone, and both with fewer threads and instances.

    Args:
        current: its best point alone.
        leaders: the best points of others alone, best first.
        loads: that may be tried, see `Candidates.loads`.
    """
    sound = [point for point in leaders if not point.configuration.wrong_batches][:_LEADERS]
    points = [current, *sound]
    small = [replace(point, configuration=one) for point in sound for one in modest(point.configuration, room)]
    small += [replace(current, configuration=one) for one in modest(current.configuration, room)]
    choices = [Choice(model, point.configuration, point.load, point.items) for point in (*points, *small)]
    lighter = tuple(sorted(loads, key=_weight))
    return Candidates(tuple(_different(choices, room))[:MOST_CANDIDATES], lighter, may_win)


def modest(configuration: Configuration, room: Room) -> list[Configuration]:
    """The same with one instance, and with no more threads than the model's share of the cores."""
    settings = read_settings(configuration.config)
    fewest = min(room.instances)
    share = room.threads
    if room.given_threads is not None:
        share = min(room.given_threads, key=lambda count: count or 1 << 20)
    on_gpu = any(group.kind == ModelInstanceGroup.KIND_GPU for group in configuration.config.instance_group)
    found = []
    for threads in dict.fromkeys((settings.threads if on_gpu else share, settings.threads)):
        varied = vary(configuration.config, configuration.max_batch_size, fewest)
        config = write_settings(varied, replace(settings, threads=threads), configuration.config.default_model_filename)
        total, written = instance_count(config), read_settings(config)
        found.append(
            replace(
                configuration,
                label=variant_label(configuration.max_batch_size, total, written, room.own),
                instances=total,
                config=config,
                current=False,
                name="",
            )
        )
    return found


def _different(choices: Iterable[Choice], room: Room) -> list[Choice]:
    """Each way of running once."""
    found: dict[object, Choice] = {}
    for choice in choices:
        configuration = choice.configuration
        settings = read_settings(configuration.config)
        cores = max(1, room.cores // max(1, configuration.instances))
        plain = write_settings(configuration.config, replace(settings, threads=0), "")
        key = behaviour_of(plain), settings.threads or cores, configuration.rewritten_model
        found.setdefault(key, choice)
    return list(found.values())


def _weight(load: Load) -> float:
    return load.concurrency if isinstance(load, ClosedLoad) else load.rate
