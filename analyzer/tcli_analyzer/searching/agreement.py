"""How well predictions and measurements agree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EIGHTY_PERCENT = 1.2816
"""Deviations of a normal distribution to both sides that hold 80 %."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A point that was predicted before it was measured.

    Attributes:
        place: which point it is, for people.
        predicted: value by simulation alone.
        measured: its value.
        throughput: predicted, measured; inferences per second.
        p50_ms: predicted, measured.
        p99_ms: predicted, measured.
        expected_log: logarithm of the value as corrected by all that was measured before.
        deviation: of that logarithm, noise of the measurement included.
    """

    place: str
    predicted: float
    measured: float
    throughput: tuple[float, float]
    p50_ms: tuple[float, float]
    p99_ms: tuple[float, float]
    expected_log: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Error:
    """Of one figure over all points: measured over predicted, less 1, on a logarithmic scale.

    Attributes:
        mean: of absolute errors, 0.05 = 5 %.
        bias: of signed ones; above 0 where more was measured than predicted.
    """

    mean: float
    bias: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of the points under one kind of load.

    Attributes:
        points: how many.
        throughput, p50, p99: errors of the simulation, not corrected by anything measured.
        rank_correlation: Spearman's, of values; nan below 3 points, or where all are equal. Says little where the values hardly differ.
        coverage: share of values inside of the 80 % interval that was predicted just before they were measured.
    """

    points: int
    throughput: Error
    p50: Error
    p99: Error
    rank_correlation: float
    coverage: float


def agreement(compared: Sequence[Compared]) -> Agreement:
    """The figures of some points, at least one."""
    inside = [abs(math.log(one.measured) - one.expected_log) <= EIGHTY_PERCENT * one.deviation for one in compared]
    return Agreement(
        points=len(compared),
        throughput=_error([one.throughput for one in compared]),
        p50=_error([one.p50_ms for one in compared]),
        p99=_error([one.p99_ms for one in compared]),
        rank_correlation=spearman([one.predicted for one in compared], [one.measured for one in compared]),
        coverage=sum(inside) / len(inside),
    )


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation; nan where it has no meaning."""
    if len(one) < 3:
        return math.nan
    a, b = _ranks(one), _ranks(other)
    if a.std() == 0 or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    """From 1; equal values share the mean of theirs."""
    array = np.asarray(values, np.float64)
    return np.array([(array < value).sum() + ((array == value).sum() + 1) / 2 for value in array])


def _error(pairs: Sequence[tuple[float, float]]) -> Error:
    logs = np.array([math.log(measured / predicted) for predicted, measured in pairs if measured > 0 and predicted > 0])
    if not logs.size:
        return Error(math.nan, math.nan)
    return Error(float(np.expm1(np.abs(logs).mean())), float(np.expm1(logs.mean())))
