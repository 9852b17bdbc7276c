"""What pairs of windows prove: against Student's t and by simulations of runs that are looked at as they come."""

import math

import numpy as np
import pytest
from scipy import stats

from tcli_analyzer.evidence.pairs import (
    LEAST_PAIRS,
    MOST_PAIRS,
    Comparison,
    Verdict,
    compare,
    next_look,
)

RUNS = 400


def watched(draw, rivals: int = 1, unobserved: bool = False) -> Comparison:
    """A run that ends as soon as it is decided; `draw(n)` gives the log ratios of n pairs."""
    logs = draw(MOST_PAIRS)
    pairs = 0
    while True:
        pairs = next_look(pairs, unobserved)
        found = compare(np.exp(logs[:pairs]).tolist(), rivals, unobserved=unobserved)
        if found.decided or pairs == MOST_PAIRS:
            return found


def share(verdicts: tuple[Verdict, ...], draw, **options) -> float:
    return sum(watched(draw, **options).verdict in verdicts for _ in range(RUNS)) / RUNS


@pytest.mark.parametrize("noise", [0.02, 0.05])
@pytest.mark.parametrize("unobserved", [False, True])
def test_equal_configurations_are_seldom_called_different(noise: float, unobserved: bool):
    random = np.random.default_rng(1)
    wrong = share((Verdict.BETTER, Verdict.WORSE), lambda n: random.normal(0, noise, n), unobserved=unobserved)
    assert wrong <= 0.025  # 1 %, and three standard errors of so many runs


def test_several_rivals_share_the_chance_of_a_false_claim():
    random = np.random.default_rng(2)
    claims = 0
    for _ in range(RUNS):
        found = [watched(lambda n: random.normal(0, 0.05, n), rivals=3).verdict for _ in range(3)]
        claims += any(verdict in (Verdict.BETTER, Verdict.WORSE) for verdict in found)
    assert claims / RUNS <= 0.025


def test_a_difference_that_matters_is_found():
    random = np.random.default_rng(3)
    assert share((Verdict.BETTER,), lambda n: random.normal(math.log(1.05), 0.02, n)) >= 0.97
    assert share((Verdict.WORSE,), lambda n: random.normal(math.log(0.95), 0.02, n)) >= 0.97


def test_equal_and_quiet_is_a_tie():
    random = np.random.default_rng(4)
    assert share((Verdict.TIE,), lambda n: random.normal(0, 0.01, n)) >= 0.95


def bursts(gain: float, noise: float = 0.02):
    """Pairs of which 15 % were hit by something."""
    random = np.random.default_rng(5)

    def draw(pairs: int) -> np.ndarray:
        hit = random.random(pairs) < 0.15
        far = np.where(hit, random.choice([-1, 1], pairs) * random.exponential(0.3, pairs), 0)
        return random.normal(math.log1p(gain), noise, pairs) + far

    return draw


def test_pairs_with_bursts_are_decided_all_the_same():
    assert share((Verdict.BETTER,), bursts(0.05)) >= 0.95
    assert share((Verdict.WORSE,), bursts(0.05)) <= 0.01


def test_equal_ones_with_bursts_tie_and_are_seldom_called_different():
    assert share((Verdict.BETTER, Verdict.WORSE), bursts(0, 0.01)) <= 0.025
    assert share((Verdict.TIE,), bursts(0, 0.01)) >= 0.8


@pytest.mark.parametrize("count", [13, 19, 28, 40])
def test_from_the_fourth_look_on_the_interval_is_that_of_signed_ranks(count: int):
    """An end of it is where Wilcoxon's test begins to reject."""
    logs = np.random.default_rng(6).standard_t(3, count) * 0.02
    found = compare(np.exp(logs).tolist())
    for end, inwards in ((np.log1p(found.low), 1e-9), (np.log1p(found.high), -1e-9)):
        assert stats.wilcoxon(logs - (end - inwards), method="exact").pvalue <= 0.002
        assert stats.wilcoxon(logs - (end + inwards), method="exact").pvalue > 0.002


def test_the_interval_at_a_single_look_is_students():
    ratios = np.exp(stats.norm.ppf(np.arange(1, 10) / 10, 0.05, 0.02))
    logs = np.log(ratios)
    low, high = stats.t.interval(1 - 0.002, 8, logs.mean(), stats.sem(logs))
    found = compare(ratios.tolist())
    assert (found.low, found.high) == pytest.approx((np.expm1(low), np.expm1(high)), rel=0.01)
    assert not found.by_signs
    assert found.gain == pytest.approx(float(np.median(ratios)) - 1)


@pytest.mark.parametrize(
    ("wins", "losses", "proves"),
    [(11, 0, True), (10, 0, False), (14, 1, True), (13, 1, False)],
)
def test_how_many_wins_prove_something(wins: int, losses: int, proves: bool):
    ratios = [1.1 + 0.001 * i for i in range(wins)] + [0.9] * losses
    assert (compare(ratios, unobserved=True).verdict is Verdict.BETTER) is proves


def test_too_few_pairs_prove_nothing():
    found = compare([2.0] * (LEAST_PAIRS - 1))
    assert (found.verdict, found.gain) == (Verdict.UNDECIDED, 0)
    assert compare([]).verdict is Verdict.UNDECIDED


def test_a_ratio_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        compare([1.0, 0.0])
