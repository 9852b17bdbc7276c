"""What is believed of every spot: its forecast, corrected by what was measured so far."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.point import Point
from tcli_analyzer.prediction.correction import Candidate, Correction, Observed, Place, most_promising
from tcli_analyzer.prediction.forecast import Forecast
from tcli_analyzer.prediction.setup import setup_of
from tcli_analyzer.searching.agreement import Compared
from tcli_analyzer.searching.field import Field, Spot
from tcli_analyzer.searching.forecasts import Forecasts

_NOISE = 0.02
"""Of a window, at least."""
_DISTURBED_NOISE = 0.15
"""Of a point without a clean window."""
_LATENCY_NOISE = 0.10
_DISTURBED_LATENCY_NOISE = 1.0
"""Of a point without a clean window: its latencies may be many times too long."""
_LATENCY_SCALE = 2.5
"""Errors of predicted high percentiles against those of throughput."""

_SURELY = 0.97
_LEAST_ROOM, _MOST_ROOM = 0.1, 10.0
_ROOM_PRECISION = 0.05
_JUDGED = 800
"""Simulated latencies by which it is told whether the budget is kept: intervals of more take too long."""
_DRAWS = 2000
_MOST_DRAWN = 200
_SEED = 1


@dataclass(frozen=True, slots=True)
class Belief:
    """Of one spot.

    Attributes:
        log_value: expected, a logarithm.
        deviation: its uncertainty.
        keeps: the chance that it keeps the budget.
        room: how much slower it could get, or must get faster, to be at the budget: a logarithm; 0 without a budget.
    """

    spot: Spot
    log_value: float
    deviation: float
    keeps: float
    room: float

    @property
    def score(self) -> tuple[bool, float]:
        """Larger is better: of those that rather keep the budget the value, of others how close they are."""
        return (True, self.log_value) if self.keeps >= 0.5 else (False, self.room)


class Beliefs:
    """Of one field.

    Args:
        doubts: the deviation of all predictions of a group, beside that of every prediction, by group; 0 where it is left out.

    Attributes:
        measured: the spots that were measured, and what came out.
    """

    def __init__(self, field: Field, forecasts: Forecasts, doubts: Mapping[int, float]) -> None:
        self._field = field
        self._forecasts = forecasts
        self._doubts = doubts
        self._rooms: dict[Spot, float] = {}
        self._places: dict[Spot, Place] = {}
        self._values: dict[Spot, Observed] = {}
        self._latencies: dict[Spot, Observed] = {}
        self._correct()
        self.measured: dict[Spot, Point] = {}

    def add(self, spot: Spot, point: Point) -> Compared | None:
        """Learn from a point, in place of what was known of it; how it compares with what was believed, or None where nothing was predicted or it cannot be compared."""
        forecast, predicted = self._forecasts.of(spot), self._forecasts.value(spot)
        measured = point.measured
        value = self._field.value(measured)
        if forecast is None or predicted is None or not value > 0:
            return None
        before = self.of(spot)
        self.measured[spot] = point
        noise = self.noise(point)
        self._values[spot] = Observed(self._place(spot), math.log(value / predicted), noise)
        share = self._field.percentile
        slow = measured.percentile(share).value / forecast.latency_ms(100 * share)
        unsure = _LATENCY_NOISE if point.is_clean else _DISTURBED_LATENCY_NOISE
        self._latencies[spot] = Observed(self._place(spot), math.log(slow), unsure)
        self._correct()
        return Compared(
            place=spot.label,
            predicted=predicted,
            measured=value,
            throughput=(forecast.throughput, measured.throughput),
            p50_ms=(forecast.latency_ms(50), measured.percentile(0.5).value),
            p99_ms=(forecast.latency_ms(99), measured.percentile(0.99).value),
            expected_log=before.log_value if before is not None else math.log(predicted),
            deviation=math.hypot(before.deviation if before is not None else 0.0, noise),
        )

    def noise(self, point: Point) -> float:
        """Of the logarithm of a point's value, by chance."""
        windows = point.measured.windows
        if not point.is_clean:
            return _DISTURBED_NOISE
        rates = [window.throughput for window in windows]
        spread = stdev(rates) / fmean(rates) if len(rates) > 1 and fmean(rates) > 0 else 0.0
        return max(_NOISE, spread) / math.sqrt(len(windows))

    def of(self, spot: Spot) -> Belief | None:
        """None where nothing is predicted."""
        return next(iter(self._of([spot])), None)

    def all(self) -> list[Belief]:
        """Of every spot that is predicted, best first."""
        return sorted(self._of(self._field.spots), key=lambda belief: belief.score, reverse=True)

    def _of(self, spots: Sequence[Spot]) -> list[Belief]:
        known = [(spot, value) for spot in spots if (value := self._forecasts.value(spot)) is not None]
        places = [self._place(spot) for spot, _ in known]
        means, deviations = self._value.each(places)
        found = []
        for (spot, value), place, mean, deviation in zip(known, places, means, deviations, strict=True):
            doubt = self._doubts.get(spot.group, 0.0) if spot not in self.measured else 0.0
            keeps, room = self._keeps(spot, place)
            found.append(Belief(spot, math.log(value) + float(mean), math.hypot(deviation, doubt), keeps, room))
        return found

    def leader(self) -> Belief | None:
        """The best that was measured."""
        return max(self._of(list(self.measured)), key=lambda belief: belief.score, default=None)

    def most_likely_winner(self, beliefs: Sequence[Belief], leader: Belief, margin: float) -> Spot | None:
        """The spot that is most likely to beat the leader, of those not measured."""
        found, _ = most_promising([_candidate(one) for one in beliefs], _candidate(leader, measured=True), margin)
        if found is None:
            return None
        assert isinstance(found.name, Spot)
        return found.name

    def chance_of_better(self, beliefs: Sequence[Belief], leader: Belief, margin: float) -> float:
        """That any of these, none of which is measured, is better than the leader by more than the margin.

        Errors of neighbours are alike, so they are drawn together.
        """
        best = sorted(beliefs, key=lambda one: one.log_value + 2 * one.deviation, reverse=True)[:_MOST_DRAWN]
        if not best:
            return 0.0
        everyone = [leader, *best]
        _, covariances = self._value.joint([self._place(one.spot) for one in everyone])
        doubts = np.array([0.0, *(self._doubts.get(one.spot.group, 0.0) for one in best)])
        groups = np.array([one.spot.group for one in everyone])
        together = np.outer(doubts, doubts) * (groups[:, None] == groups[None, :])
        random = np.random.default_rng(_SEED)
        logs = random.multivariate_normal(
            [one.log_value for one in everyone], covariances + together, _DRAWS, method="eigh"
        )
        kept = random.random((_DRAWS, len(best))) < np.array([one.keeps for one in best])
        needs = logs[:, :1] + math.log1p(margin) if leader.keeps >= 0.5 else np.full((_DRAWS, 1), -np.inf)
        return float(((logs[:, 1:] > needs) & kept).any(axis=1).mean())

    def surprise(self, spots: Sequence[Spot]) -> Spot | None:
        """The spot of these about which least is known."""
        if not spots:
            return None
        _, deviations = self._value.each([self._place(spot) for spot in spots])
        return spots[int(np.argmax(deviations))]

    def _correct(self) -> None:
        self._value = Correction.fitted(list(self._values.values()))
        self._latency = Correction.fitted(list(self._latencies.values()), _LATENCY_SCALE)

    def _place(self, spot: Spot) -> Place:
        if spot not in self._places:
            self._places[spot] = self._place_of(spot)
        return self._places[spot]

    def _place_of(self, spot: Spot) -> Place:
        setup = setup_of(spot.configuration, self._field.items)
        if isinstance(spot.load, ClosedLoad):
            return Place(spot.group, min(setup.rules.limit, spot.load.concurrency), spot.load.concurrency)
        forecast = self._forecasts.of(spot)
        outstanding = spot.load.rate * forecast.mean_ms / 1e3 if forecast is not None else 1.0
        return Place(spot.group, setup.rules.limit, max(1.0, outstanding), is_open=True)

    def _keeps(self, spot: Spot, place: Place) -> tuple[float, float]:
        """The chance that it keeps the budget, and the room that it has."""
        if self._field.keeps is None:
            return 1.0, 0.0
        mean, deviation = self._latency.at(place)
        room = self._room(spot) - mean
        if spot in self.measured:
            told = self._field.keeps(self.measured[spot].measured)
            if told is not None and (told or self.measured[spot].is_clean):
                return (_SURELY if told else 1 - _SURELY), room
        return 0.5 * math.erfc(-room / max(deviation, 1e-3) / math.sqrt(2)), room

    def _room(self, spot: Spot) -> float:
        """The logarithm of the factor on its forecast latencies at which the budget is no longer kept."""
        if spot not in self._rooms:
            self._rooms[spot] = _room(self._forecasts.of(spot), self._field.is_kept)
        return self._rooms[spot]


def _candidate(belief: Belief, measured: bool = False) -> Candidate:
    return Candidate(belief.spot, math.exp(belief.log_value), 0.0, belief.deviation, measured, belief.keeps)


def _room(forecast: Forecast | None, is_kept: Callable[[Windows], bool | None]) -> float:
    """Half-way between where the budget is kept for certain and where it is broken for certain, found by halving."""
    if forecast is None or forecast.overloaded:
        return -math.inf
    not_broken = _largest(lambda slower: is_kept(forecast.windows(slower, _JUDGED)) is not False)
    sure = _largest(lambda slower: is_kept(forecast.windows(slower, _JUDGED)) is True)
    # Percentiles of few samples are never kept for certain, however low.
    return (not_broken + sure) / 2 if sure > math.log(_LEAST_ROOM) + _ROOM_PRECISION else not_broken


def _largest(is_fine: Callable[[float], bool]) -> float:
    """The logarithm of the largest factor that is."""
    low, high = math.log(_LEAST_ROOM), math.log(_MOST_ROOM)
    while high - low > _ROOM_PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if is_fine(math.exp(middle)) else (low, middle)
    return (low + high) / 2


def is_open(spot: Spot) -> bool:
    """Whether its requests come by a schedule."""
    return isinstance(spot.load, OpenLoad)
