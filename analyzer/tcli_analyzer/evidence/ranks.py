"""The interval of the middle of values that scatter evenly around it, whatever the shape: few far ones hardly widen it.

By Wilcoxon's signed ranks, as in Hollander, Wolfe, Chicken: Nonparametric Statistical Methods, 3rd ed., section 3.3.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def rank_interval(values: Sequence[float], error: float) -> tuple[float, float]:
    """Where the middle is.

    Args:
        error: the most by which the chance may be missed that the interval has it, both sides together.

    Returns:
        Its ends; infinite ones where there are too few values to tell.
    """
    few = _fewest(len(values), error / 2)
    if few is None:
        return float("-inf"), float("inf")
    given = np.asarray(values, float)
    means = np.sort(np.add.outer(given, given)[np.triu_indices(len(given))] / 2)
    return float(means[few]), float(means[-1 - few])


@lru_cache
def _fewest(count: int, error: float) -> int | None:
    """The largest sum of the ranks of one sign that is so unlikely; None if even 0 is not."""
    total = count * (count + 1) // 2
    ways = [1] + [0] * total  # of reaching each sum with the ranks so far
    for rank in range(1, count + 1):
        for reached in range(total, rank - 1, -1):
            ways[reached] += ways[reached - rank]
    found, so_far, most = None, 0, error * 2**count
    for reached, more in enumerate(ways):
        so_far += more
        if so_far > most:
            break
        found = reached
    return found
