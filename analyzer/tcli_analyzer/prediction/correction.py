"""Corrects predictions by what was measured, and says how sure it is elsewhere.

What a simulation gets wrong at one point it gets wrong at its neighbours, too: the logarithm of measured over predicted is a Gaussian
process over configurations and loads, whose mean and deviation anywhere follow from the points measured.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

_BIAS = 0.05  # of the table: everything is off by so much, relative
_BY_GROUP = 0.03  # the same table of service times
_BY_LOAD = 0.10  # the same kind of load: sending by a schedule costs the sender more than answering replies
_LOCAL = 0.03  # near in batch size and concurrency
_OWN = 0.02  # of each place alone, which tells nothing of others
_REACH = 1.5  # doublings over which what is local fades
_PRIOR = _BIAS**2 + _BY_GROUP**2 + _BY_LOAD**2 + _LOCAL**2 + _OWN**2
_SCALES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
_SCALE_DEVIATION = 0.5  # of the scale's logarithm, before anything is measured


@dataclass(frozen=True, slots=True)
class Place:
    """A configuration under a load, as far as errors of predictions depend on it.

    Attributes:
        group: of configurations that share a table of service times.
        outstanding: requests on average, for an open loop rate x latency.
        is_open: requests come by a schedule.
    """

    group: int
    max_batch_size: int
    outstanding: float
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """A prediction that was measured.

    Attributes:
        residual: the logarithm of measured over predicted.
        noise: standard deviation of `residual` by chance alone.
    """

    place: Place
    residual: float
    noise: float


class Correction:
    """What the observations say of other places.

    Args:
        observed: at most some dozens.
        scale: how large errors are against those that are usual for throughput.
    """

    def __init__(self, observed: Sequence[Observed], scale: float = 1.0) -> None:
        self._scale = scale
        self._places = [one.place for one in observed]
        self._residuals = np.array([one.residual for one in observed])
        noise = np.diag([one.noise**2 + 1e-8 for one in observed])
        self._observed = self._covariances(self._places, self._places) + noise if observed else np.empty((0, 0))
        self._inverse = np.linalg.inv(self._observed)

    @classmethod
    def fitted(cls, observed: Sequence[Observed], scale: float = 1.0) -> Self:
        """With the scale under which the observations are most likely, `scale` being what is expected."""
        every = [cls(observed, scale * factor) for factor in _SCALES]
        return max(
            every, key=lambda one: one._likelihood() - 0.5 * (math.log(one._scale / scale) / _SCALE_DEVIATION) ** 2
        )

    def at(self, place: Place) -> tuple[float, float]:
        """Mean and standard deviation of the logarithm of truth over prediction."""
        means, deviations = self.each([place])
        return float(means[0]), float(deviations[0])

    def each(self, places: Sequence[Place]) -> tuple[np.ndarray, np.ndarray]:
        """The same of many places, [n] and [n], each for itself."""
        prior = np.full(len(places), self._scale**2 * _PRIOR)
        if not self._places:
            return np.zeros(len(places)), np.sqrt(prior)
        rows = self._covariances(places, self._places)
        explained = (rows @ self._inverse * rows).sum(axis=1)
        return rows @ self._inverse @ self._residuals, np.sqrt(np.maximum(0.0, prior - explained))

    def joint(self, places: Sequence[Place]) -> tuple[np.ndarray, np.ndarray]:
        """Means [n] and covariances [n, n] of several places at once: errors of neighbours are alike."""
        prior = self._covariances(places, places)
        if not self._places:
            return np.zeros(len(places)), prior
        rows = self._covariances(places, self._places)
        return rows @ self._inverse @ self._residuals, prior - rows @ self._inverse @ rows.T

    def _covariances(self, some: Sequence[Place], others: Sequence[Place]) -> np.ndarray:
        return self._scale**2 * _covariances(_features(some), _features(others))

    def _likelihood(self) -> float:
        if not self._places:
            return 0.0
        _, determinant = np.linalg.slogdet(self._observed)
        return float(-0.5 * (self._residuals @ self._inverse @ self._residuals + determinant))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may be best.

    Attributes:
        value: predicted, more is better, above 0; corrected by `mean` and uncertain by `deviation`, see `Correction.at`.
        measured: it needs no more measuring.
        keeps: the chance that it keeps the latency budget.
    """

    name: object
    value: float
    mean: float
    deviation: float
    measured: bool = False
    keeps: float = 1.0

    @property
    def log(self) -> float:
        """The corrected value's logarithm."""
        return math.log(self.value) + self.mean


def chance_to_beat(candidate: Candidate, leader: Candidate, margin: float) -> float:
    """The probability that a candidate is better than the leader by more than `margin`, relative, and keeps the budget."""
    ahead = candidate.log - leader.log - math.log1p(margin)
    deviation = math.hypot(candidate.deviation, leader.deviation)
    if deviation <= 0:
        return candidate.keeps if ahead > 0 else 0.0
    return candidate.keeps * 0.5 * math.erfc(-ahead / deviation / math.sqrt(2))


def most_promising(candidates: Iterable[Candidate], leader: Candidate, margin: float) -> tuple[Candidate | None, float]:
    """The unmeasured candidate that is most likely to beat the leader, and the chance that any of them does (at most the sum)."""
    chances = [(chance_to_beat(one, leader, margin), one) for one in candidates if not one.measured]
    if not chances:
        return None, 0.0
    best = max(chances, key=lambda pair: pair[0])[1]
    return best, min(1.0, sum(chance for chance, _ in chances))


def _features(places: Sequence[Place]) -> np.ndarray:
    """Of each place: group, doublings of the batch and of what is outstanding, kind of load; float64 [n, 4]."""
    return np.array(
        [
            (
                place.group,
                math.log2(max(1, place.max_batch_size)),
                math.log2(max(1.0, place.outstanding)),
                place.is_open,
            )
            for place in places
        ],
        np.float64,
    ).reshape(-1, 4)


def _covariances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    a, b = some[:, None, :], others[None, :, :]
    distance = ((a[..., 1:3] - b[..., 1:3]) ** 2).sum(axis=-1)
    return np.asarray(
        _BIAS**2
        + _BY_GROUP**2 * (a[..., 0] == b[..., 0])
        + _BY_LOAD**2 * (a[..., 3] == b[..., 3])
        + _LOCAL**2 * np.exp(-0.5 * distance / _REACH**2)
        + _OWN**2 * (a == b).all(axis=-1)
    )
