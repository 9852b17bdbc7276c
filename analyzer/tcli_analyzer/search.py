"""Which configurations are measured under which loads: a grid, without the points that cannot differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration, instance_count, label_of, same_behaviour, vary, waits_to_batch
from tcli_analyzer.load import ClosedLoad

LARGEST = 1_000_000
"""The largest number of anything that a sweep takes: more is a slip of the keyboard, and would end in no memory."""

_MOST_DIGITS = 18


@dataclass(frozen=True)
class Grid:
    """What to vary.

    Attributes:
        batch_sizes: values of `max_batch_size`; ignored for a model that takes no batches.
        instance_counts: instances of each instance group.
        concurrency: requests outstanding.
    """

    batch_sizes: tuple[int, ...]
    instance_counts: tuple[int, ...]
    concurrency: tuple[int, ...]


@dataclass(frozen=True)
class PlannedPoint:
    """One measurement to make.

    Attributes:
        same: other configurations that run the same way under this load, so that this measurement is theirs, too.
    """

    configuration: Configuration
    load: ClosedLoad
    same: tuple[Configuration, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The measurements in the order in which they are made: the current configuration first.

    Attributes:
        notes: what is left out, and why; for the user.
    """

    points: tuple[PlannedPoint, ...]
    notes: tuple[str, ...]


def make_plan(
    current: Configuration,
    base: ModelConfig,
    grid: Grid,
    batches: bool,
    rewritten_model: bool,
) -> Plan:
    """Lay out the grid.

    Args:
        current: the model's own configuration.
        base: what the grid's configurations vary; its batch dimension is implicit if `batches`.
        batches: whether the model takes batches.
        rewritten_model: whether `base` needs the rewritten model file, so that nothing in the grid equals `current`.
    """
    sizes = sorted(set(grid.batch_sizes)) if batches else [0]
    loads = sorted(set(grid.concurrency))
    points = [PlannedPoint(current, ClosedLoad(load)) for load in loads]
    notes: list[str] = []
    left_out = 0
    waits = waits_to_batch(base)
    for instances in sorted(set(grid.instance_counts)):
        variants = [_configuration(base, size, instances, rewritten_model) for size in sizes]
        variants = [v for v in variants if rewritten_model or not same_behaviour(v.config, current.config)]
        if len(variants) < len(sizes):
            notes.append(
                f"{label_of(current.max_batch_size, current.instances)} is the current configuration, measured once"
            )
        remaining = {variant: list(loads) for variant in variants}
        for position, variant in enumerate(variants):
            for load in remaining[variant]:
                same: tuple[Configuration, ...] = ()
                if variant.max_batch_size >= load and not waits:
                    same = tuple(variants[position + 1 :])
                    for larger in same:
                        remaining[larger] = [other for other in remaining[larger] if other != load]
                    left_out += len(same)
                points.append(PlannedPoint(variant, ClosedLoad(load), same))
    if left_out:
        notes.append(
            f"{left_out} point{'s' * (left_out != 1)} not measured: a batch cannot hold more than the requests outstanding, so a larger "
            "max_batch_size runs the same there"
        )
    return Plan(tuple(points), tuple(notes))


def _configuration(base: ModelConfig, max_batch_size: int, instances: int, rewritten_model: bool) -> Configuration:
    config = vary(base, max_batch_size, instances)
    total = instance_count(config)
    return Configuration(
        label_of(max_batch_size, total), max_batch_size, total, config, rewritten_model=rewritten_model
    )


def default_instance_counts(cores: int) -> tuple[int, ...]:
    """1 for one core; 1 and 2 below 8 cores; 1, 2 and 4 from there."""
    return tuple(count for count, least in ((1, 1), (2, 2), (4, 8)) if cores >= least)


def parse_sizes(text: str) -> tuple[int, ...]:
    """`"1,2,4"` -> (1, 2, 4).

    Raises:
        ValueError: not whole numbers from 1 to `LARGEST` with commas between.
    """
    parts = [part.strip() for part in text.split(",")]
    sizes = tuple(int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= _MOST_DIGITS)
    if len(sizes) < len(parts) or not 1 <= min(sizes, default=0) <= max(sizes) <= LARGEST:
        raise ValueError(
            f"'{text}': expected whole numbers of at least 1 with commas between, such as 1,2,4, none above {LARGEST:,}"
        )
    return sizes


def planned_order(points: Sequence[PlannedPoint]) -> list[tuple[Configuration, list[PlannedPoint]]]:
    """The points by configuration, each configuration once, in order: it is loaded once for all its loads."""
    groups: dict[Configuration, list[PlannedPoint]] = {}
    for point in points:
        groups.setdefault(point.configuration, []).append(point)
    return list(groups.items())
