"""How sure percentiles are: against binomial quantiles, and by how often the intervals hold the truth."""

import math

import numpy as np
import pytest
from scipy import signal, stats

from tcli_analyzer.evidence.percentiles import design_effect, interval_ranks, percentile, samples_needed


@pytest.mark.parametrize(("share", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)])
def test_how_many_samples_a_percentile_takes(share: float, needed: int):
    assert samples_needed(share) == needed


@pytest.mark.parametrize("count", [100, 500, 1000, 5000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
def test_ranks_are_binomial_quantiles(count: int, share: float):
    low, high = interval_ranks(count, share)
    under = stats.binom(count, share)
    assert low is not None
    assert under.cdf(low - 1) <= 0.025 < under.cdf(low)
    if high is None:
        assert under.sf(count - 1) > 0.025
    else:
        assert under.sf(high - 1) <= 0.025 < under.sf(high - 2)


def test_a_tail_that_was_not_seen_has_no_upper_end():
    assert interval_ranks(100, 0.99)[1] is None
    found = percentile(np.arange(100.0), 0.99)
    assert not found.is_known
    assert math.isnan(found.high)
    assert found.keeps(1000) is None
    assert (
        found.text() == "p99 needs about 368 independent requests, has 99"
    )  # all over it came last, which counts a little


def test_nothing_measured():
    found = percentile(np.array([]), 0.5)
    assert (found.independent, found.is_known) == (0, False)


def covered(draw, share: float, truth: float, group_size: float = 1.0, runs: int = 300) -> float:
    found = [percentile(draw(), share, group_size) for _ in range(runs)]
    return sum(one.low <= truth <= one.high for one in found) / runs


def test_intervals_of_independent_latencies_hold_the_truth():
    random = np.random.default_rng(1)
    assert covered(lambda: random.exponential(1, 1000), 0.95, -math.log(0.05)) >= 0.92


def test_intervals_of_latencies_that_end_together_hold_the_truth():
    random = np.random.default_rng(2)
    assert covered(lambda: np.repeat(random.exponential(1, 250), 8), 0.9, math.log(10), group_size=8) >= 0.92


def test_intervals_of_latencies_that_hang_together_hold_the_truth():
    random = np.random.default_rng(3)

    def draw() -> np.ndarray:
        return signal.lfilter([1], [1, -0.9], random.normal(0, 1, 4200))[200:]

    truth = stats.norm.ppf(0.9) / math.sqrt(1 - 0.9**2)
    assert covered(draw, 0.9, truth) >= 0.88
    latencies = draw()
    assert design_effect(latencies > truth, 0.9) > 3


def test_a_limit_is_kept_broken_or_unclear():
    found = percentile(np.random.default_rng(4).uniform(0, 100, 1000), 0.9)
    assert found.keeps(200) is True
    assert found.keeps(50) is False
    assert found.keeps(found.value) is None
    assert found.text() == f"p90 {found.value:.3g} ms"
