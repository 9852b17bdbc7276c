"""How good the quick search is, against the exhaustive grid measured in the same run.

    python benchmarks/search_quality.py REPOSITORY MODEL [MODEL ...] [--json FILE]

Measures half of the grid, searches, and measures the other half, so that both see the same machine. The regret is by how much the
first leader, and the best of all leaders, is worse than the grid's best point. The best of many noisy points is partly the luckiest:
so it is chosen by one half of the grid and read from the other, both ways round. Where the search and the grid name different
configurations, these two race, which is the last word. The quieter the machine, the more this says: the share of clean windows is
printed, too.
"""

import argparse
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

from running import write_json
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration, label_of, same_behaviour, vary
from tcli_analyzer.evidence.pairs import Comparison
from tcli_analyzer.evidence.race import Contender, Race, race
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.point import Point
from tcli_analyzer.searching import Failure
from tcli_analyzer.searching.field import Field, Spot
from tcli_analyzer.searching.found import Found
from tcli_analyzer.searching.points import Points, in_visiting_order
from tcli_analyzer.searching.quick import QuickOptions, QuickSearch
from tcli_analyzer.searching.visits import Visits, point_options
from tcli_analyzer.subject import Subject, examine, find_model
from tcli_analyzer.target import EngineTarget
from tcli_analyzer.workspace import Workspace

SIZES, INSTANCES, CONCURRENCY = (1, 2, 4, 8), (1, 2), (1, 2, 4, 8, 16)
ROUNDS = 13


@dataclass(frozen=True)
class Quality:
    """Of one model.

    Attributes:
        first_regret: of the search's first leader, relative: 0.02 = 2 % worse than the grid's best; noise may make it negative.
        regret: of the best of all leaders and the current configuration, which is what the finals choose.
        share: points that the search measured, of those of the full grid.
        seconds_share: of the grid's time under load that the search spent, service times among it.
        clean: share of windows that nothing disturbed.
        race: the grid's best against the search's first leader; None if they are the same.
    """

    model: str
    best: str
    leader: str
    first_regret: float
    regret: float
    points: int
    size: int
    share: float
    seconds: float
    seconds_share: float
    clean: float
    race: Comparison | None


class Teller:
    """Prints what is measured to the error stream."""

    def planned(self, points: int, of: int, seconds: float) -> None:
        print(f"  about {points} of {of} points, {seconds:.0f} s", file=sys.stderr)

    def measuring(self, what: str, seconds_left: float) -> None:
        print(f"  {what} ({seconds_left:.0f} s left)", file=sys.stderr)

    def measured(self, point: Point, seconds_left: float) -> None:
        del seconds_left
        print(f"    {point.measured.throughput:.1f}/s{'' if point.is_clean else ' disturbed'}", file=sys.stderr)

    def failed(self, failure: Failure) -> None:
        print(f"  {failure.configuration.label} failed: {failure.reason}", file=sys.stderr)

    def note(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr)

    def goes_on(self) -> bool:
        return True


def field_of(subject: Subject, rivals: int = 3) -> Field:
    """The current configuration and the usual grid."""
    rewritten = subject.batchable is not None
    sizes = SIZES if subject.batches else (0,)
    varied = [
        Configuration(label_of(size, count), size, count, vary(subject.base, size, count), rewritten_model=rewritten)
        for count in INSTANCES
        for size in sizes
    ]
    others = [one for one in varied if rewritten or not same_behaviour(one.config, subject.current.config)]
    loads = [ClosedLoad(each) for each in CONCURRENCY]
    return Field([subject.current, *others], loads, lambda windows: windows.throughput, rivals=rivals)


def measure_half(field: Field, bench: LocalBench, number: int) -> tuple[Points, Visits]:
    """Every point of the grid once."""
    points, visits = Points(field), Visits(bench, lambda: True, float("inf"))
    watch = Teller()
    bench.hold(())
    for spot in in_visiting_order(field.spots, number):
        watch.measuring(f"grid: {spot.label}", 0.0)
        windows = visits.measure(spot.configuration, spot.load, point_options(50, 1))
        if windows:
            watch.measured(points.add(spot, windows), 0.0)
    return points, visits


def values(points: Points) -> dict[Spot, float]:
    """The median of the windows of each point."""
    return {
        spot: median(window.throughput for window in points.point(spot).measured.windows) for spot in points.windows
    }


def judge(
    model: str, field: Field, halves: Sequence[tuple[Points, Visits]], found: Found, raced: Race | None
) -> Quality:
    """The figures."""
    first, second = (values(points) for points, _ in halves)
    spots = [spot for spot in field.spots if spot in first and spot in second]
    best = fmean(other[max(spots, key=lambda spot: one[spot])] for one, other in ((first, second), (second, first)))
    both = {spot: fmean((first[spot], second[spot])) for spot in spots}
    leaders = [worth(point, both) for point in (*found.leaders, *([found.current] if found.current else []))]
    windows = [window for points, _ in halves for found_ in points.windows.values() for window in found_]
    windows += [window for point in found.points for window in point.windows.windows]
    grid_seconds = sum(visits.load_seconds for _, visits in halves)
    return Quality(
        model=model,
        best=max(spots, key=lambda spot: both[spot]).label,
        leader=found.leaders[0].place if found.leaders else "none",
        first_regret=1 - leaders[0] / best,
        regret=1 - max(leaders) / best,
        points=len(found.points) + len(found.checks),
        size=found.size,
        share=found.share,
        seconds=found.load_seconds,
        seconds_share=found.load_seconds / grid_seconds,
        clean=sum(window.is_clean for window in windows) / len(windows),
        race=next(iter(raced.comparisons.values())) if raced is not None else None,
    )


def worth(point: Point, both: Mapping[Spot, float]) -> float:
    """What the grid measured there."""
    return next(
        value
        for spot, value in both.items()
        if spot.load == point.load and point.configuration in (spot.configuration, *spot.same)
    )


def last_word(bench: LocalBench, halves: Sequence[tuple[Points, Visits]], found: Found) -> Race | None:
    """The grid's best against the search's leader."""
    first, second = (values(points) for points, _ in halves)
    best = max((spot for spot in first if spot in second), key=lambda spot: first[spot] + second[spot])
    leader = found.leaders[0]
    if leader.load == best.load and leader.configuration in (best.configuration, *best.same):
        return None
    bench.hold([best.configuration, leader.configuration])

    def contender(name: str, configuration: Configuration, load: ClosedLoad) -> Contender:
        options = VisitOptions(seconds=1.0, requests=1)
        return Contender(name, lambda _: bench.visit(configuration, load, options)[0])

    assert isinstance(best.load, ClosedLoad)
    assert isinstance(leader.load, ClosedLoad)
    contenders = [
        contender("grid", best.configuration, best.load),
        contender("search", leader.configuration, leader.load),
    ]
    return race(contenders, lambda window: Windows([window]).throughput, lambda so_far: so_far.rounds < ROUNDS)


def examined(repository: Path, model: str, seconds: float) -> Quality:
    """Measure and search one model."""
    folder = find_model([repository], model)
    with Workspace(folder) as workspace:
        with EngineTarget(workspace.current, model) as target:
            complete = target.load()
            subject = examine(folder, complete, {}, workspace, lambda text: print(f"  {text}", file=sys.stderr))
        field = field_of(subject)
        repositories = {False: workspace.current, True: workspace.rewritten}
        with LocalBench(repositories, model, RandomSource(subject.shapes), threading.Event()) as bench:
            before = measure_half(field, bench, 0)
            found = QuickSearch(QuickOptions(seconds=seconds)).run(field, bench, Teller())
            halves = [before, measure_half(field, bench, 1)]
            raced = last_word(bench, halves, found) if found.leaders else None
    quality = judge(model, field, halves, found, raced)
    show(quality, found)
    return quality


def show(quality: Quality, found: Found) -> None:
    """Print the figures."""
    print(
        f"{quality.model}: {quality.points} of {quality.size} points ({100 * quality.share:.0f} %), {found.windows} windows"
    )
    print(f"  best of the grid: {quality.best}; first leader of the search: {quality.leader}")
    print(
        f"  regret of the first leader {100 * quality.first_regret:.1f} %, of all leaders {100 * quality.regret:.1f} %"
    )
    print(f"  time under load {quality.seconds:.0f} s, {100 * quality.seconds_share:.0f} % of the grid's")
    print(f"  clean windows {100 * quality.clean:.0f} %")
    if quality.race is not None:
        one = quality.race
        gain = f"{100 * one.gain:+.1f} % [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
        print(f"  raced against the grid's best: {gain}, {one.verdict}, {one.pairs} pairs")
    if found.prediction is not None:
        print(f"  {found.prediction.sentence()}; ended as {found.prediction.stopped_by}")
        for kind, one in found.prediction.agreement.items():
            errors = f"throughput {100 * one.throughput.mean:.1f} %, p50 {100 * one.p50.mean:.1f} %, p99 {100 * one.p99.mean:.1f} %"
            print(f"  {kind}: {one.points} points, errors {errors}, rank correlation {one.rank_correlation:.2f}")
        print(f"  factor of open loops {found.prediction.tables.open_factor:.2f} {found.prediction.fallback}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--seconds", type=float, default=QuickOptions().seconds, help="of the search")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = [examined(options.repository, model, options.seconds) for model in options.models]
    write_json(options.json, [asdict(one) for one in found])


if __name__ == "__main__":
    main()
