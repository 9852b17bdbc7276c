"""Which of two configurations is faster, from pairs of windows measured right after each other.

Pairs are looked at again and again as they come, so the bounds are wider than a single test's: together, all looks call equal
configurations different in at most about 1 % of the runs: a user who analyzes every week is not to be sent on a wrong way each year.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median, stdev

LEAST_PAIRS = 4
MOST_PAIRS = 40
TIE = 0.02

_LOOKS = (4, 6, 9, 13, 19, 28, 40)
_CRITICAL = {
    1: (10.21, 5.89, 4.50, 3.93, 3.61, 3.42, 3.31),
    2: (12.92, 6.87, 5.04, 4.32, 3.92, 3.69, 3.56),
    3: (14.82, 7.50, 5.37, 4.55, 4.10, 3.84, 3.70),
    4: (16.33, 7.98, 5.62, 4.72, 4.23, 3.95, 3.80),
    5: (17.60, 8.36, 5.81, 4.85, 4.33, 4.04, 3.87),
}
"""Quantiles of Student's t at 0.2 % two-sided, shared among so many rivals: seven looks together stay at about 1 %."""

_EVIDENCE = 100.0
"""The e-value at which equal configurations are called different in at most 1 of 100 runs, however often it is looked at."""

_OUTLIER_DEVIATIONS = 4.0


class Verdict(StrEnum):
    """What the pairs prove."""

    BETTER = "better"
    WORSE = "worse"
    TIE = "tie"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One configuration against another.

    Attributes:
        pairs: how many counted.
        gain: the median of the ratios, less 1: 0.1 = 10 % more. Meaningless below `LEAST_PAIRS`, where it is 0.
        low: lower end of the interval of the gain, valid although the pairs were looked at as they came; -1 without one.
        high: its upper end; infinite without one.
        verdict: BETTER or WORSE if the interval leaves out 0 and the gain is more than a tie's, TIE if the interval lies within the
            tie's bounds, else UNDECIDED.
        by_signs: whether wins were counted, as the ratios have outliers or what disturbs them cannot be seen.
    """

    pairs: int
    gain: float
    low: float
    high: float
    verdict: Verdict
    by_signs: bool

    @property
    def decided(self) -> bool:
        """Whether more pairs would tell nothing new."""
        return self.verdict is not Verdict.UNDECIDED


def compare(ratios: Sequence[float], rivals: int = 1, tie: float = TIE, unobserved: bool = False) -> Comparison:
    """What the pairs measured so far say.

    Args:
        ratios: of each pair, in the order in which they were measured: the one's value over the other's, above 0, where more is
            better.
        rivals: how many comparisons are made in this run; each must prove more the more there are.
        tie: relative differences up to this are none that matters.
        unobserved: what disturbed the windows could not be seen, as on another machine: outliers are to be expected.

    Raises:
        ValueError: a ratio is not above 0.
    """
    if not all(0 < ratio < math.inf for ratio in ratios):
        raise ValueError(f"ratios must be above 0 and finite: {list(ratios)}")
    logs = [math.log(ratio) for ratio in ratios]
    by_signs = unobserved or _has_outliers(logs)
    low, high = _by_signs(logs, rivals) if by_signs else _by_means(logs, rivals)
    middle = median(logs) if len(logs) >= LEAST_PAIRS else 0.0
    return Comparison(
        len(logs), math.expm1(middle), math.expm1(low), math.expm1(high), _verdict(middle, low, high, tie), by_signs
    )


def next_look(pairs: int, by_signs: bool = False) -> int:
    """How many pairs there must be before it is worth looking again; `MOST_PAIRS` at most."""
    if by_signs:
        return min(pairs + 1, MOST_PAIRS)
    return next((look for look in _LOOKS if look > pairs), MOST_PAIRS)


def _verdict(middle: float, low: float, high: float, tie: float) -> Verdict:
    if math.log1p(-tie) < low and high < math.log1p(tie):
        return Verdict.TIE  # although it may leave out 0: a difference that does not matter
    if low > 0 and middle > math.log1p(tie):
        return Verdict.BETTER
    if high < 0 and middle < math.log1p(-tie):
        return Verdict.WORSE
    return Verdict.UNDECIDED


def _has_outliers(logs: Sequence[float]) -> bool:
    if len(logs) < LEAST_PAIRS:
        return False
    middle = median(logs)
    distances = [abs(log - middle) for log in logs]
    return max(distances) > _OUTLIER_DEVIATIONS * 1.4826 * median(distances)


def _by_means(logs: Sequence[float], rivals: int) -> tuple[float, float]:
    """The interval of the mean at the last look; pairs after it wait for the next one."""
    look = max((index for index, pairs in enumerate(_LOOKS) if pairs <= len(logs)), default=None)
    if look is None:
        return -math.inf, math.inf
    counted = logs[: _LOOKS[look]] if len(logs) < MOST_PAIRS else logs
    half = _CRITICAL[min(max(rivals, 1), max(_CRITICAL))][look] * stdev(counted) / math.sqrt(len(counted))
    return fmean(counted) - half, fmean(counted) + half


def _by_signs(logs: Sequence[float], rivals: int) -> tuple[float, float]:
    """The interval of the median that its order statistics give, by Ville's inequality with a uniform prior on the share."""
    ordered = sorted(logs)
    losses = _most_losses(len(logs), _EVIDENCE * max(rivals, 1))
    if losses is None:
        return -math.inf, math.inf
    return ordered[losses], ordered[-1 - losses]


def _most_losses(pairs: int, evidence: float) -> int | None:
    """How many of the pairs may be lost with the rest still proving a win; None if even all won do not."""
    found = None
    for losses in range(pairs // 2 + 1):
        log_e = pairs * math.log(2) + math.lgamma(pairs - losses + 1) + math.lgamma(losses + 1) - math.lgamma(pairs + 2)
        if log_e < math.log(evidence):
            break
        found = losses
    return found
