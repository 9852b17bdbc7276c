"""Which cores each worker gets."""

from collections.abc import Sequence


def core_shares(cores: Sequence[int], workers: int) -> list[list[int]]:
    """Cores of each worker: neighbours together, as evenly as it goes; more workers than cores take turns.

    Args:
        cores: numbers of the cores that there are, at least one.
    """
    if workers > len(cores):
        return [[cores[worker % len(cores)]] for worker in range(workers)]
    each, rest = divmod(len(cores), workers)
    shares, first = [], 0
    for worker in range(workers):
        last = first + each + (worker < rest)
        shares.append(list(cores[first:last]))
        first = last
    return shares
