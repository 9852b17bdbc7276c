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
        share: of them for each model, if they are divided equally.
        own: what the model's own configuration says; labels tell what differs.
        given_instances, given_threads: the only ones that may be tried; None for any.
    """

    cores: int
    share: int
    own: Settings
    given_instances: tuple[int, ...] | None = None
    given_threads: tuple[int, ...] | None = None

    def allows(self, instances: int, threads: int) -> bool:
        """Whether the user wants that tried."""
        return (self.given_instances is None or instances in self.given_instances) and (
            self.given_threads is None or threads in self.given_threads
        )


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
    """The same with less of the machine: within the share of the cores, with one instance, and as little as can be."""
    base = configuration.config
    settings = read_settings(base)
    groups = max(1, len(base.instance_group))
    if any(group.kind == ModelInstanceGroup.KIND_GPU for group in base.instance_group):
        ways = [(1, settings.threads)]
    else:
        each = settings.threads or max(1, room.cores // configuration.instances)
        fitting = max(1, room.share // (each * groups))
        ways = [(fitting, min(each, room.share)), (1, room.share), (1, settings.threads), (1, 1)]
    found = []
    for count, threads in dict.fromkeys(ways):
        if not room.allows(count, threads):
            continue
        varied = vary(base, configuration.max_batch_size, count)
        config = write_settings(varied, replace(settings, threads=threads), base.default_model_filename)
        total, written = instance_count(config), read_settings(config)
        label = variant_label(configuration.max_batch_size, total, written, room.own)
        found.append(replace(configuration, label=label, instances=total, config=config, current=False, name=""))
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
