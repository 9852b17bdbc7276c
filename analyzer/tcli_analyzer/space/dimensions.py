"""What is tried: a tuple of values for each dimension, and sensible ones for a machine and a model."""

import math
from dataclasses import dataclass
from typing import Self

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import instance_count
from tcli_analyzer.load import ClosedLoad, Load, OpenLoad
from tcli_analyzer.space.engines import ENGINES_OWN, Choice, Engines
from tcli_analyzer.space.errors import SpaceError
from tcli_analyzer.space.facts import Facts
from tcli_analyzer.space.settings import read_settings

MOST_COMBINATIONS = 10_000
"""Of configurations and loads: at a second each, three hours."""

_MOST_BATCH = {False: 8, True: 32}
"""The largest batch that is tried by default, without and with a GPU, unless the model's own is larger."""

_OPTIONS = {
    "max_batch_sizes": "--batch-sizes",
    "instances": "--instance-counts",
    "client_batch_sizes": "--client-batch-sizes",
    "concurrency": "--concurrency",
    "request_rates": "--request-rates",
    "queue_delays_us": "--queue-delays",
    "preferred_batch_sizes": "--preferred-batch-sizes",
    "threads": "--threads",
    "engines": "--engines",
    "providers": "--providers",
    "precisions": "--precisions",
    "graph_levels": "--graph-levels",
}


def option_of(dimension: str) -> str:
    """How a dimension is called on the command line; with underscores, it is a key of the file."""
    return _OPTIONS[dimension]


DIMENSIONS = tuple(_OPTIONS)
"""Names of the fields of `Space`."""


@dataclass(frozen=True)
class Space:
    """What is tried: every combination that means something.

    Attributes:
        max_batch_sizes: 0 for a model that takes no batches.
        instances: of each instance group.
        engines: backends that can run the model's file.
        providers: by what an engine computes; a combination that no engine has is left out.
        client_batch_sizes: items in a request.
        concurrency: requests outstanding, in a closed loop.
        request_rates: requests a second, in an open loop.
        queue_delays_us: `max_queue_delay_microseconds`; only where there is a dynamic batcher.
        preferred_batch_sizes: each a set of sizes; only those up to `max_batch_size` count.
        threads: of each instance; 0 = its share of the cores.
        precisions: `f32`, `bf16`, `f16`, or empty for the engine's own choice; one that means nothing with an engine is left out.
        graph_levels: `optimization.graph.level`, where the engine reads it.
    """

    max_batch_sizes: tuple[int, ...]
    instances: tuple[int, ...]
    engines: tuple[str, ...]
    providers: tuple[str, ...]
    client_batch_sizes: tuple[int, ...] = (1,)
    concurrency: tuple[int, ...] = ()
    request_rates: tuple[float, ...] = ()
    queue_delays_us: tuple[int, ...] = (0,)
    preferred_batch_sizes: tuple[tuple[int, ...], ...] = ((),)
    threads: tuple[int, ...] = (0,)
    precisions: tuple[str, ...] = (ENGINES_OWN,)
    graph_levels: tuple[int, ...] = (0,)

    @classmethod
    def default(cls, facts: Facts, base: ModelConfig, engines: Engines, batches: bool) -> Self:
        """Small, from the machine and the model: the model's own values are among them.

        Another engine is tried where it may be quicker: one that reads other engines' files, on a CPU; and lower precision
        where the processor computes in it.

        Args:
            base: the model's configuration, complete.
            batches: the model takes batches, even if `base` says 0.
        """
        own = read_settings(base)
        on_gpu = facts.gpus > 0 and own.provider not in ("", "cpu", "openvino")
        own_sizes = (base.max_batch_size,) if batches and base.max_batch_size else ()
        sizes = _doubled(max(_MOST_BATCH[on_gpu], base.max_batch_size)) if batches else (0,)
        sizes = tuple(sorted({*sizes, *own_sizes}))
        instances = _instances(facts, on_gpu, base)
        others = [] if on_gpu else [one for one in engines.others if _is_promising(one, engines.own)]
        precisions = _precisions([engines.own, *others], own.precision)
        return cls(
            max_batch_sizes=sizes,
            instances=instances,
            concurrency=usual_concurrency(sizes),
            queue_delays_us=_unique(0, own.queue_delay_us),
            preferred_batch_sizes=_unique(own.preferred_batch_sizes),
            threads=_unique(own.threads, 0),
            engines=_unique(own.engine, *(one.engine for one in others)),
            providers=_unique(own.provider, *(one.provider for one in others)),
            precisions=precisions,
            graph_levels=_unique(own.graph_level),
        )

    @classmethod
    def own(cls, base: ModelConfig, batches: bool) -> Self:
        """Only what the model's own configuration says, under a few loads."""
        own = read_settings(base)
        counts = sorted({group.count or 1 for group in base.instance_group} or {1})
        return cls(
            max_batch_sizes=(max(1, base.max_batch_size) if batches else 0,),
            instances=tuple(counts),
            concurrency=usual_concurrency((base.max_batch_size,)),
            queue_delays_us=(own.queue_delay_us,),
            preferred_batch_sizes=(own.preferred_batch_sizes,),
            threads=(own.threads,),
            engines=(own.engine,),
            providers=(own.provider,),
            precisions=(own.precision,),
            graph_levels=(own.graph_level,),
        )

    @property
    def loads(self) -> tuple[tuple[int, Load], ...]:
        """Items in a request, and how requests come; the lightest first."""
        ways: list[Load] = [ClosedLoad(count) for count in self.concurrency]
        ways += [OpenLoad(rate) for rate in self.request_rates]
        return tuple((items, load) for items in self.client_batch_sizes for load in ways)

    def loads_for(self, max_batch_size: int) -> tuple[tuple[int, Load], ...]:
        """Those that a configuration takes: no request has more items than a batch may have."""
        return tuple((items, load) for items, load in self.loads if items <= max(1, max_batch_size))

    @property
    def size(self) -> int:
        """Combinations at most: what means the same is still counted twice."""
        lengths = {name: len(getattr(self, name)) for name in DIMENSIONS}
        loads = max(1, lengths.pop("concurrency") + lengths.pop("request_rates"))
        return math.prod(lengths.values()) * loads

    def check(self) -> None:
        """Refuse what is too much.

        Raises:
            SpaceError: there are too many combinations, or a dimension has no value.
        """
        for name in DIMENSIONS:
            if not getattr(self, name) and name not in ("concurrency", "request_rates"):
                raise SpaceError(f"{option_of(name)[2:]}: no value", f"give at least one with {option_of(name)}", name)
        if not self.loads:
            raise SpaceError("no load", "give --concurrency or --request-rates", "concurrency")
        if self.size <= MOST_COMBINATIONS:
            return
        counted = sorted(((len(getattr(self, name)), name) for name in DIMENSIONS), reverse=True)
        sizes = " x ".join(f"{count} {option_of(name)[2:]}" for count, name in counted if count > 1)
        raise SpaceError(
            f"{self.size:,} combinations ({sizes}), expected at most {MOST_COMBINATIONS:,}",
            _shrinking(self.size, counted),
        )


def _shrinking(size: int, counted: list[tuple[int, str]]) -> str:
    """The fewest dimensions that bring the number down, if each gets two values."""
    cut = []
    for count, name in counted:
        if size <= MOST_COMBINATIONS or count <= 2:
            break
        size = size * 2 // count
        cut.append(option_of(name))
    if size > MOST_COMBINATIONS or not cut:
        return f"give fewer values with {', '.join(option_of(name) for count, name in counted if count > 1)}"
    return f"give two values with {' and '.join(cut)}, and the rest in a second run around what was best"


def _is_promising(other: Choice, own: Choice) -> bool:
    return other.engine != own.engine and other.provider == "cpu" and other.is_told


def _precisions(choices: list[Choice], own: str) -> tuple[str, ...]:
    """The model's own, and those that are quicker where the processor has them; f32 beside a choice that is not the model's."""
    lower = [word for word in ("bf16",) if any(word in one.works_in and one.is_told for one in choices)]
    if len(choices) == 1 and own == ENGINES_OWN:
        return (ENGINES_OWN,)
    return _unique(*([own] if own != ENGINES_OWN else []), "f32", *lower)


def _instances(facts: Facts, on_gpu: bool, base: ModelConfig) -> tuple[int, ...]:
    """1 for one core, 1 and 2 below 8 cores or on a GPU, else 1, 2 and 4; the model's own among them."""
    cores = facts.cores or 2
    counts = [count for count, least in ((1, 1), (2, 2), (4, 8)) if cores >= least and not (on_gpu and count > 2)]
    own = {group.count or 1 for group in base.instance_group} or {instance_count(base)}
    return tuple(sorted({*counts, *own}))


def usual_concurrency(batch_sizes: tuple[int, ...]) -> tuple[int, ...]:
    """1, 2, 4, ... to twice the largest batch: what fills it, and another one that waits."""
    return _doubled(2 * max(2, *batch_sizes))


def _doubled(most: int) -> tuple[int, ...]:
    return tuple(1 << power for power in range(most.bit_length()) if 1 << power <= most)


def _unique(*values: object) -> tuple:  # type: ignore[type-arg]
    return tuple(dict.fromkeys(values))
