"""Races between configurations whose true speeds are known, on machines whose neighbours are."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.evidence.pairs import Verdict
from tcli_analyzer.evidence.race import REPEATS, Contender, Race, race
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.target import Counters

RUNS = 60


class Machine:
    """Measures in virtual time; a neighbour comes and goes.

    Args:
        busy: share of the time in which the neighbour runs, in stretches of some windows.
        drift: of all speeds over a hundred windows, relative.
    """

    def __init__(self, seed: int, noise: float = 0.02, busy: float = 0.0, drift: float = 0.0, observed: bool = True):
        self._random = np.random.default_rng(seed)
        self._noise, self._busy, self._drift, self._observed = noise, busy, drift, observed
        self._is_busy, self._left, self._time = False, 0, 0

    def contender(self, name: str, speed: float, slowdown: float = 2.0) -> Contender:
        return Contender(name, lambda _: self._window(speed, slowdown))

    def _window(self, speed: float, slowdown: float) -> Window:
        if not self._left:
            self._is_busy = self._random.random() < self._busy
            self._left = 1 + self._random.geometric(0.3)
        self._left -= 1
        self._time += 1
        rate = speed * np.exp(self._random.normal(0, self._noise)) * (1 + self._drift * self._time / 100)
        rate = rate / slowdown if self._is_busy else rate
        lost = (0.8, 0.9) if self._is_busy else (0.004, 0.01)
        processor = ProcessorTime(1.0, *lost, 0.0) if self._observed else None
        count = 100
        return Window(0.0, count / rate, np.full(count, 10.0), Counters(count, count, count), processor)


def run(contenders: list[Contender]) -> Race:
    return race(contenders, lambda window: window.throughput, lambda _: True)


def verdicts(speeds: dict[str, float], runs: int = RUNS, slowdowns: tuple[float, ...] = (), **machine) -> list[Race]:
    found = []
    for seed in range(runs):
        one = Machine(seed, **machine)
        ratios = slowdowns or (2.0,) * len(speeds)
        found.append(
            run([one.contender(name, speed, s) for (name, speed), s in zip(speeds.items(), ratios, strict=True)])
        )
    return found


def test_a_better_one_is_found_with_its_gain():
    found = verdicts({"now": 100, "new": 110})
    assert all(one.comparisons["new"].verdict is Verdict.BETTER for one in found)
    gains = [one.comparisons["new"].gain for one in found]
    assert np.mean(gains) == pytest.approx(0.10, abs=0.01)
    covered = [one.comparisons["new"].low <= 0.10 <= one.comparisons["new"].high for one in found]
    assert np.mean(covered) >= 0.93
    assert np.mean([one.rounds for one in found]) < 10


def test_a_drift_is_no_difference():
    found = verdicts({"now": 100, "new": 100}, drift=0.3, noise=0.01)
    assert sum(one.comparisons["new"].verdict in (Verdict.BETTER, Verdict.WORSE) for one in found) <= 0.05 * RUNS


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.9])
def test_a_neighbour_that_slows_one_down_more_makes_no_winner(busy: float):
    """Equal configurations, of which a neighbour slows the one twofold and the other ninefold: a tie, or undecided."""
    found = verdicts({"pool": 100, "single": 100}, busy=busy, slowdowns=(9.0, 2.0))
    claims = sum(one.comparisons["single"].verdict in (Verdict.BETTER, Verdict.WORSE) for one in found)
    assert claims <= 0.05 * RUNS
    assert all(one.dropped > 0 for one in found if busy > 0.5)


def test_a_machine_that_is_never_quiet_decides_nothing_and_ends():
    (found,) = verdicts({"now": 100, "new": 200}, runs=1, busy=1.0)
    assert found.comparisons["new"].verdict is Verdict.UNDECIDED
    assert found.comparisons["new"].pairs == 0
    assert found.dropped == found.total == found.rounds * 2 * (1 + REPEATS)


def test_where_nothing_can_be_seen_signs_decide():
    found = verdicts({"now": 100, "new": 110}, runs=20, observed=False)
    assert all(one.comparisons["new"].by_signs for one in found)
    assert all(one.comparisons["new"].verdict is Verdict.BETTER for one in found)


def test_several_rivals_are_compared_with_the_first():
    found = verdicts({"now": 100, "a": 100, "b": 120, "c": 80}, runs=20)
    for one in found:
        assert one.comparisons["b"].verdict is Verdict.BETTER
        assert one.comparisons["c"].verdict is Verdict.WORSE
        assert one.comparisons["a"].verdict in (Verdict.TIE, Verdict.UNDECIDED)


def test_the_order_is_turned_round_every_round():
    order = []
    machine = Machine(0)

    def recording(name: str) -> Contender:
        inner = machine.contender(name, 100)
        return Contender(name, lambda number: order.append(name) or inner.measure(number))  # type: ignore[func-returns-value]

    run([recording("a"), recording("b")])
    rounds = [order[i : i + 2] for i in range(0, len(order), 2)]
    assert rounds == [pair for pair, _ in zip(itertools.cycle([["a", "b"], ["b", "a"]]), rounds, strict=False)]


def test_whoever_watches_may_end_it():
    machine = Machine(0)
    found = race(
        [machine.contender("a", 100), machine.contender("b", 100)], lambda w: w.throughput, lambda r: r.rounds < 2
    )
    assert found.rounds == 2


def test_alone_it_is_measured_until_its_own_speed_is_known():
    found = run([Machine(1).contender("now", 100)])
    assert found.rounds == 4
    busy = run([Machine(1, busy=1.0).contender("now", 100)])
    assert busy.rounds == 12


def test_a_window_with_a_flaw_and_one_without_an_answer_count_for_nothing():
    sound = Window(0.0, 1.0, np.full(10, 10.0), Counters(10, 10, 10), ProcessorTime(1.0, 0.0, 0.0, 0.0))
    late, empty = replace(sound, flaw="the sender was late"), replace(sound, latencies_ms=np.empty(0))
    rounds = [{"now": sound, "new": sound}, {"now": sound, "new": late}, {"now": empty, "new": sound}]
    found = Race(latest=rounds)
    assert found.ratios("new", "now", lambda window: window.throughput) == [1.0]
