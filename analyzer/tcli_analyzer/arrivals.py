"""When requests come, whether or not earlier ones were answered: constant, by chance, or as recorded."""

import itertools
from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np

_AT_ONCE = 256


class Distribution(StrEnum):
    """How the gaps between requests vary. Many users who know nothing of each other make a Poisson process."""

    POISSON = "poisson"
    CONSTANT = "constant"


def schedule(
    rate: float, seconds: float, distribution: Distribution = Distribution.POISSON, seed: int = 0
) -> np.ndarray:
    """The moments at which requests are due.

    The same seed gives the same moments, stretched, at any rate: configurations are compared on the same arrivals.

    Args:
        rate: requests per second, above 0.

    Returns:
        Seconds from the start, float64 [n], rising, below `seconds`.
    """
    count = int(rate * seconds) + 1
    if distribution is Distribution.CONSTANT:
        moments = np.arange(count) / rate
        return moments[moments < seconds]
    random = np.random.default_rng(seed)
    moments = np.empty(0)
    while not moments.size or moments[-1] < seconds:
        gaps = random.exponential(1 / rate, count)
        moments = np.concatenate([moments, gaps.cumsum() + (moments[-1] if moments.size else 0.0)])
    return moments[moments < seconds]


def endless(rate: float, distribution: Distribution = Distribution.POISSON, seed: int = 0) -> Iterator[float]:
    """The moments of `schedule`, without an end."""
    if distribution is Distribution.CONSTANT:
        yield from (number / rate for number in itertools.count())
    random = np.random.default_rng(seed)
    last = 0.0
    while True:
        for gap in (random.standard_exponential(_AT_ONCE) / rate).tolist():
            last += gap
            yield last


def replayed(gaps_seconds: Sequence[float], speed: float = 1.0, loop: bool = True) -> Iterator[float]:
    """The moments of `recorded`, without an end; with one if they are not to begin again.

    Raises:
        ValueError: as `recorded`.
    """
    gaps = _checked(gaps_seconds, speed).tolist()
    last = 0.0
    while True:
        for gap in gaps:
            last += gap
            yield last
        if not loop:
            return


def recorded(gaps_seconds: Sequence[float], seconds: float, speed: float = 1.0) -> np.ndarray:
    """The moments that recorded gaps give, begun again from the first where they end too early.

    Args:
        gaps_seconds: between a request and the one before it, at least 0, together above 0.
        speed: 2 = twice as fast.

    Raises:
        ValueError: a gap is negative, or all are 0.
    """
    gaps = _checked(gaps_seconds, speed)
    rounds = int(seconds / gaps.sum()) + 1
    moments = np.tile(gaps, rounds).cumsum()
    return moments[moments < seconds]


def _checked(gaps_seconds: Sequence[float], speed: float) -> np.ndarray:
    gaps = np.asarray(gaps_seconds, np.float64) / speed
    if not gaps.size or (gaps < 0).any() or not gaps.sum() > 0 or not np.isfinite(gaps).all():
        raise ValueError("gaps between requests must be at least 0, and not all 0")
    return gaps
