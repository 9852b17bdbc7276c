"""When requests come to one of several replicas behind a proxy."""

from enum import StrEnum

import numpy as np

from tcli_analyzer.arrivals import schedule


class Balance(StrEnum):
    """How a proxy chooses the replica of a request, whatever they are doing.

    One that looks at what they are doing (least requests) is not predicted.
    """

    RANDOM = "random"
    """By chance. A part of a Poisson process by chance is a Poisson process, too, so what one replica gets says all."""
    IN_TURN = "round-robin"
    """One after the other: each gets every n-th request, more evenly than by chance."""


def share(rate: float, replicas: int, balance: Balance, requests: int, seed: int = 0) -> np.ndarray:
    """When a replica gets its requests, if all together are a Poisson process.

    Args:
        rate: of all replicas together, per second.
        requests: how many for this one, about.

    Returns:
        Seconds from the start, float64 [n], rising.
    """
    if balance is Balance.RANDOM:
        return schedule(rate / replicas, requests * replicas / rate, seed=seed)
    gaps = np.random.default_rng(seed).gamma(replicas, 1 / rate, requests)  # the sum of so many gaps of the whole
    return gaps.cumsum()
