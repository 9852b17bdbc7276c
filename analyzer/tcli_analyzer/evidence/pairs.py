"""Which of two configurations is faster, from pairs of windows measured right after each other.

Pairs are looked at again and again as they come, so the bounds are wider than a single test's: together, all looks call equal
configurations different in at most about 1 % of the runs: a user who analyzes every week is not to be sent on a wrong way each year.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median, stdev

from tcli_analyzer.evidence.ranks import rank_interval

LEAST_PAIRS = 4
MOST_PAIRS = 40
TIE = 0.02

_LOOKS = (4, 6, 9, 13, 19, 28, 40)
_ERROR = 0.002
"""Of one look, both sides together: seven stay at about 1 %."""

_CRITICAL = {
    1: (10.21, 5.89, 4.50),
    2: (12.92, 6.87, 5.04),
    3: (14.82, 7.50, 5.37),
    4: (16.33, 7.98, 5.62),
    5: (17.60, 8.36, 5.81),
}
"""Quantiles of Student's t for the first looks, the error shared among so many rivals. Ranks of so few values prove nothing; from the
next look on they do, and unlike means they hardly mind a pair that something hit."""

_EVIDENCE = 100.0
"""The e-value at which equal configurations are called different in at most 1 of 100 runs, however often it is looked at."""


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
        by_signs: whether wins were counted, as what disturbs the windows could not be seen.
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
        unobserved: what disturbed the windows could not be seen, as on another machine: nothing is taken for granted of the ratios.

    Raises:
        ValueError: a ratio is not above 0.
    """
    if not all(0 < ratio < math.inf for ratio in ratios):
        raise ValueError(f"ratios must be above 0 and finite: {list(ratios)}")
    logs = [math.log(ratio) for ratio in ratios]
    low, high = _by_signs(logs, rivals) if unobserved else _by_looks(logs, rivals)
    middle = median(logs) if len(logs) >= LEAST_PAIRS else 0.0
    return Comparison(
        len(logs), math.expm1(middle), math.expm1(low), math.expm1(high), _verdict(middle, low, high, tie), unobserved
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


def _by_looks(logs: Sequence[float], rivals: int) -> tuple[float, float]:
    """The interval at the last look, of the mean or of the middle; pairs after it wait for the next one."""
    look = max((index for index, pairs in enumerate(_LOOKS) if pairs <= len(logs)), default=None)
    if look is None:
        return -math.inf, math.inf
    counted = logs[: _LOOKS[look]] if len(logs) < MOST_PAIRS else logs
    critical = _CRITICAL[min(max(rivals, 1), max(_CRITICAL))]
    if look >= len(critical):
        return rank_interval(counted, _ERROR / max(rivals, 1))
    half = critical[look] * stdev(counted) / math.sqrt(len(counted))
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
