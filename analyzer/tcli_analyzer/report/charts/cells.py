"""What heat maps show: the best of each combination of two dimensions, measured, or else predicted."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.goal import Goal, Objective
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.searching.found import Expected
from tcli_analyzer.space import read_settings
from tcli_analyzer.summary import family_of

MOST_PANELS = 6
"""Engines and precisions that are shown: the fastest."""

Key = tuple[float, str]
"""A value of a dimension: by what it is ordered, and its text."""


@dataclass(frozen=True)
class Spot:
    """One configuration under one load, and what is known of it.

    Attributes:
        value: of the goal; more is better.
        rank: measured and right 0, only predicted 1, wrong answers 2.
    """

    configuration: Configuration
    load: Load
    items: int
    value: float
    shown: str
    title: str
    rank: int

    @property
    def below(self) -> str:
        """What stands below the value."""
        return "wrong" if self.rank == 2 else short_load(self.load)


@dataclass(frozen=True)
class Dimension:
    """One that configurations or loads differ in."""

    name: str
    read: Callable[[Spot], Key]


@dataclass(frozen=True)
class Panels:
    """Heat maps over the same two dimensions.

    Attributes:
        cells: of each engine and precision, by the texts of column and row.
    """

    across: Dimension
    down: Dimension
    columns: Sequence[Key]
    rows: Sequence[Key]
    cells: Mapping[str, Mapping[tuple[str, str], Spot]]

    @property
    def has_predicted(self) -> bool:
        """Whether any cell was not measured."""
        return any(spot.rank == 1 for cells in self.cells.values() for spot in cells.values())


def panels_of(
    points: Sequence[Point], expected: Sequence[Expected], goal: Goal, wrong: Collection[Configuration]
) -> Panels | None:
    """None where nothing varies, or nothing measured keeps the goal's budget.

    Args:
        wrong: configurations that cannot win.
    """
    measured = [spot for point in points for spot in _measured(point, goal, wrong)]
    if not measured:
        return None
    spots = [*measured, *(spot for one in expected for spot in _expected(one, goal, wrong))]
    varied = [one for one in _DIMENSIONS if len({one.read(spot) for spot in spots}) > 1]
    if not varied:
        return None
    across, down = varied[0], varied[1] if len(varied) > 1 else _DIMENSIONS[-1]
    cells: dict[str, dict[tuple[str, str], Spot]] = {}
    for spot in sorted(spots, key=lambda one: (one.rank, -one.value)):
        family = family_of(spot.configuration)
        if family in cells or len(cells) < MOST_PANELS:
            cells.setdefault(family, {}).setdefault((across.read(spot)[1], down.read(spot)[1]), spot)
    columns, rows = (sorted({one.read(spot) for spot in spots}) for one in (across, down))
    return Panels(across, down, columns, rows, cells)


def short_load(load: Load) -> str:
    """Such as "c 16", or "40/s"."""
    return f"c {load.concurrency}" if isinstance(load, ClosedLoad) else f"{load.rate:.4g}/s"


def _measured(point: Point, goal: Goal, wrong: Collection[Configuration]) -> Iterator[Spot]:
    """Also of configurations that another one's measurement stands for."""
    value = goal.value(point.measured) if point.measured.requests else 0.0
    if not goal.allows(point.measured) or not isfinite(value) or not value:
        return
    for one in (point.configuration, *point.same):
        is_wrong = one in wrong or one.wrong_batches
        why = ": its answers are others, or could not be compared, so it cannot win" if is_wrong else ""
        title = f"{point.place}{'' if point.is_clean else ' (disturbed: or better)'}{why}"
        yield Spot(one, point.load, point.items, value, _text(value, goal), title, 2 if is_wrong else 0)


def _expected(one: Expected, goal: Goal, wrong: Collection[Configuration]) -> Iterator[Spot]:
    budget = goal.latency_budget_ms
    if one.value <= 0 or not isfinite(one.value) or (budget is not None and not one.p99_ms <= budget):
        return
    for configuration in (one.configuration, *one.same):
        if configuration not in wrong and not configuration.wrong_batches:
            span = " to ".join(sorted((_text(one.low, goal), _text(one.high, goal)), key=len))
            title = f"{configuration.label}, {one.load.label}: predicted, {span}"
            yield Spot(configuration, one.load, 1, one.value, _text(one.value, goal), title, 1)


def _text(value: float, goal: Goal) -> str:
    return short(1e3 / value if goal.objective is Objective.LATENCY else value)


def _preferred(configuration: Configuration) -> Key:
    sizes = read_settings(configuration.config).preferred_batch_sizes
    return float(sum(sizes)), "+".join(map(str, sizes)) or "any"


def _threads(configuration: Configuration) -> Key:
    threads = read_settings(configuration.config).threads
    return float(threads), str(threads) if threads else "own"


def _delay(configuration: Configuration) -> Key:
    delay = read_settings(configuration.config).queue_delay_us
    return float(delay), f"{delay / 1000:g} ms"


def _graph(configuration: Configuration) -> Key:
    level = read_settings(configuration.config).graph_level
    return float(level), str(level)


def _load(load: Load) -> Key:
    return (load.concurrency if isinstance(load, ClosedLoad) else 1e6 + load.rate), short_load(load)


_DIMENSIONS = (
    Dimension(
        "max_batch_size",
        lambda spot: (spot.configuration.max_batch_size, str(spot.configuration.max_batch_size or "none")),
    ),
    Dimension("instances", lambda spot: (spot.configuration.instances, str(spot.configuration.instances))),
    Dimension("threads of an instance", lambda spot: _threads(spot.configuration)),
    Dimension("queue delay", lambda spot: _delay(spot.configuration)),
    Dimension("preferred sizes", lambda spot: _preferred(spot.configuration)),
    Dimension("graph level", lambda spot: _graph(spot.configuration)),
    Dimension("items in a request", lambda spot: (spot.items, str(spot.items))),
    Dimension("load", lambda spot: _load(spot.load)),
)
"""The two that vary and come first are shown; the load where nothing else varies."""
