"""Figures of agreement against numpy and scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from tcli_analyzer.searching.agreement import EIGHTY_PERCENT, Compared, agreement, spearman


def compared(predicted: float, measured: float, deviation: float = 0.1) -> Compared:
    return Compared(
        "a place",
        predicted,
        measured,
        (predicted, measured),
        (10.0, 10 * measured / predicted),
        (20.0, 40.0),
        math.log(predicted),
        deviation,
    )


def test_errors_are_means_of_log_ratios():
    random = np.random.default_rng(0)
    predicted = random.uniform(50, 200, 40)
    measured = predicted * np.exp(random.normal(0.03, 0.05, 40))
    found = agreement([compared(p, m) for p, m in zip(predicted, measured, strict=True)])
    logs = np.log(measured / predicted)
    assert found.points == 40
    assert found.throughput.mean == pytest.approx(np.expm1(np.abs(logs).mean()))
    assert found.throughput.bias == pytest.approx(np.expm1(logs.mean()))
    assert found.p50.bias == pytest.approx(np.expm1(logs.mean()))
    assert (found.p99.mean, found.p99.bias) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.rank_correlation == pytest.approx(stats.spearmanr(predicted, measured).statistic)


def test_coverage_counts_what_lies_inside_of_80_percent():
    assert pytest.approx(stats.norm.ppf(0.9), abs=1e-4) == EIGHTY_PERCENT
    random = np.random.default_rng(1)
    found = agreement([compared(100, 100 * float(np.exp(random.normal(0, 0.1)))) for _ in range(2000)])
    assert found.coverage == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_ranks_with_ties_are_scipys(seed: int):
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 6, 15).tolist(), random.integers(0, 6, 15).tolist()
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_a_correlation_without_meaning_is_none():
    assert math.isnan(spearman([1, 2], [2, 1]))
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
