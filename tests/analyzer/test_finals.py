"""The finals go on without a finalist that dies, and keep what was measured of the others."""

from collections import Counter
from collections.abc import Sequence

import pytest

from measured_points import point, steady, window
from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.pairs import LEAST_PAIRS, Verdict
from tcli_analyzer.finals import Finals, run_finals
from tcli_analyzer.goal import Goal
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window

CURRENT, BETTER, DYING = point(1, 1, [100], current=True), point(4, 1, [120]), point(8, 2, [130])


class Bench:
    """Measures the finalists' own speeds, until one of them dies.

    Args:
        dies: the label of that one.
        after: so many visits of it.
    """

    def __init__(self, dies: str, after: int) -> None:
        self._dies, self._after = dies, after
        self.visits: Counter[str] = Counter()

    def hold(self, configurations: Sequence[Configuration]) -> None:
        pass

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:  # noqa: ARG002
        label = configuration.label
        if label == self._dies and self.visits[label] == self._after:
            raise CannotMeasureError("it was killed")
        self.visits[label] += 1
        speed = next(one.measured.throughput for one in (CURRENT, BETTER, DYING) if one.configuration is configuration)
        return [window(steady(speed, 50)[self.visits[label]])]


def raced(bench: Bench) -> Finals:
    return run_finals(bench, [CURRENT, BETTER, DYING], Goal(), VisitOptions(), 0.02, 3600.0, lambda *_: None)


@pytest.mark.parametrize("after", [0, 1, LEAST_PAIRS - 1])
def test_a_finalist_that_dies_takes_no_pair_of_the_others_with_it(after: int):
    dying = DYING.configuration.label
    bench = Bench(dying, after)
    found = raced(bench)
    assert found.failures == ((DYING, "it was killed"),)
    assert [one.configuration.label for one in found.points] == ["current", BETTER.configuration.label]
    assert found.race.rounds == LEAST_PAIRS
    for one in found.points:
        label = one.configuration.label
        assert len(found.race.windows[label]) == len(one.windows.windows) == bench.visits[label] <= LEAST_PAIRS + 1
    compared = found.compare(found.points[1], found.points[0])
    assert (compared.verdict, compared.pairs) == (Verdict.BETTER, LEAST_PAIRS)
    assert all(dying not in pairs for pairs in (found.race.windows, found.race.comparisons, *found.race.latest))


def test_the_others_are_compared_with_each_other_where_the_current_one_dies():
    bench = Bench("current", LEAST_PAIRS - 1)
    found = raced(bench)
    assert [one.configuration for one in found.points] == [BETTER.configuration, DYING.configuration]
    assert list(found.race.comparisons) == [DYING.configuration.label]
    assert found.compare(found.points[1], found.points[0]).verdict is Verdict.BETTER
    assert bench.visits[DYING.configuration.label] == len(found.points[1].windows.windows)


def test_nothing_is_left_where_all_die():
    class Dead(Bench):
        def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:  # noqa: ARG002
            raise CannotMeasureError("it was killed")

    found = raced(Dead("", 0))
    assert found.points == ()
    assert [reason for _, reason in found.failures] == ["it was killed"] * 3
