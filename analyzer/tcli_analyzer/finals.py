"""The last stage: those that may be best race each other, and every claim rests on that alone.

A search looks at many points once, and the best of many noisy numbers is partly the luckiest. So what is said of a configuration,
its speed and what it gains, comes from windows that were measured in turn with those of its rivals.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tcli_analyzer.bench import Bench, CannotMeasureError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.pairs import Comparison, compare
from tcli_analyzer.evidence.race import Contender, Race, race
from tcli_analyzer.goal import Goal
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.point import Point

MOST_FINALISTS = 4


@dataclass(frozen=True)
class Finals:
    """What came out.

    Attributes:
        points: the finalists with the windows of the race, the first the one that the others were compared with.
        tie: relative differences up to this are none that matters.
        seconds: from the first window to the last.
        failures: finalists that could not be measured again, and why.
        interrupted: the user stopped it.
    """

    points: tuple[Point, ...]
    race: Race
    goal: Goal
    tie: float
    seconds: float
    failures: tuple[tuple[Point, str], ...] = ()
    interrupted: bool = False

    def compare(self, one: Point, other: Point) -> Comparison:
        """The one against the other, by the pairs of the race."""
        ratios = self.race.ratios(_name(one), _name(other), self.goal.value)
        unobserved = any(window.processor is None for point in (one, other) for window in point.windows.windows)
        return compare(ratios, max(1, len(self.points) - 1), self.tie, unobserved)

    def of(self, configuration: Configuration) -> Point | None:
        """The finalist with this configuration."""
        return next((point for point in self.points if point.configuration is configuration), None)


def run_finals(
    bench: Bench,
    finalists: Sequence[Point],
    goal: Goal,
    options: VisitOptions,
    tie: float,
    seconds: float,
    watch: Callable[[Race, float], None],
) -> Finals:
    """Race.

    Args:
        finalists: as the search measured them, of different configurations; the others are compared with the first.
        options: of each window.
        seconds: after which no new round begins.
        watch: told after each round how it stands, and the seconds left at most.
    """
    failures: list[tuple[Point, str]] = []
    began = last = time.monotonic()
    ends = began + seconds
    found = Race()
    while True:
        failed: list[tuple[Point, str]] = []

        def went_on(so_far: Race) -> bool:
            nonlocal last
            now = time.monotonic()
            left = max(ends - now, now - last) if now < ends else 0.0  # a round that began is run to its end
            last = now
            watch(so_far, left)
            return now < ends

        contenders = [Contender(_name(point), _measure(bench, point, options, failed)) for point in finalists]
        bench.hold([point.configuration for point in finalists])
        interrupted = False
        try:
            race(contenders, goal.value, went_on, tie, found)
        except Stopped:
            interrupted = True
        except CannotMeasureError:
            failures += failed
            lost = failed[-1][0]
            finalists = [point for point in finalists if point is not lost]
            found = found.without(_name(lost))
            if finalists:
                continue
        points = tuple(_with(point, found.windows[_name(point)]) for point in finalists if found.windows[_name(point)])
        return Finals(points, found, goal, tie, time.monotonic() - began, tuple(failures), interrupted)


def _measure(
    bench: Bench, point: Point, options: VisitOptions, failed: list[tuple[Point, str]]
) -> Callable[[int], Window]:
    def measure(_: int) -> Window:
        try:
            return bench.visit(point.configuration, point.load, replace(options, windows=1, items=point.items))[0]
        except CannotMeasureError as error:
            failed.append((point, str(error)))
            raise

    return measure


def _with(point: Point, windows: Sequence[Window]) -> Point:
    return replace(point, windows=Windows(tuple(windows)))


def _name(point: Point) -> str:
    return point.configuration.label
