"""How sure a percentile of latencies is, and when there are too few of them to name it at all.

Requests of one execution end together and queues make slow requests come in crowds, so n latencies say less than n independent ones
would. How much less is measured: the count of latencies over a limit varies more from block to block of the run.
"""

import math
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95

_BLOCKS = 20
_LEAST_IN_A_BLOCK = 5


@dataclass(frozen=True, slots=True)
class Percentile:
    """One percentile of a run.

    Attributes:
        share: which one: 0.99 for p99.
        value: ms; nan where nothing was measured.
        low: lower end of its 95 % interval in ms; nan where the samples are too few for one.
        high: its upper end.
        independent: how many independent latencies the run is worth.
        needed: how many this percentile takes.
    """

    share: float
    value: float
    low: float
    high: float
    independent: float
    needed: int

    @property
    def is_known(self) -> bool:
        """Whether there are samples enough to name it."""
        return self.independent >= self.needed

    def keeps(self, limit_ms: float) -> bool | None:
        """Whether it is at most `limit_ms`; None if that cannot be told from these samples."""
        if self.high <= limit_ms:
            return True
        if self.low > limit_ms:
            return False
        return None

    def text(self) -> str:
        """For people: "p99 31 ms", or what is missing."""
        name = f"p{100 * self.share:g}"
        if self.is_known:
            return f"{name} {self.value:.3g} ms"
        return f"{name} needs about {self.needed} independent requests, has {self.independent:.0f}"


def percentile(latencies_ms: np.ndarray, share: float, group_size: float = 1.0) -> Percentile:
    """The percentile with an interval that assumes nothing about how latencies are distributed.

    Args:
        latencies_ms: float64 [n], in the order in which the replies came.
        share: above 0, below 1.
        group_size: how many of them end together: the mean batch size.
    """
    needed = samples_needed(share)
    count = len(latencies_ms)
    if not count:
        return Percentile(share, math.nan, math.nan, math.nan, 0.0, needed)
    ordered = np.sort(latencies_ms)
    value = float(np.percentile(ordered, 100 * share))
    effect = max(design_effect(latencies_ms > value, share), group_size)
    independent = count / effect
    low_rank, high_rank = interval_ranks(math.floor(independent), share)
    # Ranks among independent samples, as shares of them, are taken among all.
    low = ordered[math.floor((low_rank - 1) * effect)] if low_rank else math.nan
    high = ordered[min(count, math.ceil(high_rank * effect)) - 1] if high_rank else math.nan
    return Percentile(share, value, float(low), float(high), independent, needed)


def design_effect(over: np.ndarray, share: float) -> float:
    """How many of these samples are worth an independent one: 1 or more.

    Args:
        over: bool [n], in order of time: which are over the limit that a share of `share` keeps.
    """
    expected = 1 - share
    size = max(_LEAST_IN_A_BLOCK, len(over) // _BLOCKS)
    blocks = len(over) // size
    if blocks < 2:
        return 1.0
    counts = over[: blocks * size].reshape(blocks, size).sum(axis=1)
    return max(1.0, float(counts.var(ddof=1)) / (size * expected * (1 - expected)))


def samples_needed(share: float) -> int:
    """The least number of independent samples with a two-sided interval for this percentile."""
    tail = (1 - CONFIDENCE) / 2
    extreme = max(share, 1 - share)
    # The largest sample must be above the percentile but for a chance of `tail`.
    return math.ceil(math.log(tail) / math.log(extreme) - 1e-9)


def interval_ranks(count: int, share: float) -> tuple[int | None, int | None]:
    """Ranks, from 1, of the ordered samples between which the percentile lies with 95 %; None where no sample is far enough out."""
    tail = (1 - CONFIDENCE) / 2
    low = high = None
    below = 0.0  # the chance that fewer than `rank` samples are under the percentile
    # What lies further out than ten deviations has no part in 95 %, and a load of a minute has a million ranks.
    middle, reach = count * share, 10 * math.sqrt(count * share * (1 - share)) + 1
    for rank in range(max(0, math.floor(middle - reach)), min(count, math.ceil(middle + reach)) + 1):
        below_before, below = below, below + _binomial(rank, count, share)
        if rank and below_before <= tail:
            low = rank
        if rank < count and high is None and 1 - below <= tail:
            high = rank + 1
    return low, high


def _binomial(successes: int, trials: int, share: float) -> float:
    log = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return math.exp(log + successes * math.log(share) + (trials - successes) * math.log1p(-share))
