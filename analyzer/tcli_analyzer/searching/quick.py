"""Search by prediction: a small table of service times, a simulated batcher, and few measurements where they tell most."""

import math
from dataclasses import dataclass
from statistics import fmean
from time import monotonic

from tcli_analyzer.bench import Bench
from tcli_analyzer.load import OpenLoad
from tcli_analyzer.measuring.visit import Stopped
from tcli_analyzer.prediction.setup import setup_of
from tcli_analyzer.prediction.stored import StoredTables
from tcli_analyzer.prediction.table import Table
from tcli_analyzer.searching import SearchWatch
from tcli_analyzer.searching.agreement import EIGHTY_PERCENT, Compared, agreement
from tcli_analyzer.searching.beliefs import Belief, Beliefs, is_open
from tcli_analyzer.searching.field import Field, Spot
from tcli_analyzer.searching.forecasts import LEAST_REQUESTS, Forecasts
from tcli_analyzer.searching.found import Expected, Found, Prediction
from tcli_analyzer.searching.open_check import OpenCheck, check_load, check_open
from tcli_analyzer.searching.points import Points, Score, kept_score
from tcli_analyzer.searching.progress import Progress
from tcli_analyzer.searching.racing import race_down
from tcli_analyzer.searching.tables import TableRounds
from tcli_analyzer.searching.trust import (
    CLOSED,
    OPEN,
    OPEN_CHECK,
    distrust_of_predictions,
    distrust_of_tables,
    doubt,
    errors_of,
    stored,
)
from tcli_analyzer.searching.visits import Clock, Ended, Visits, point_options

ENOUGH_CHECKS = 6

_COARSE_SHARE, _TABLE_SHARE = 0.6, 0.5
"""Of the search's time at which the coarse round ends, and the whole table."""
_CAN_WIN = 0.8
"""Of the best value predicted by coarse tables: groups below are not looked at closer."""
_CAN_WIN_DISTURBED = 0.4
"""The same where others disturbed what was measured: a pool of threads may lose half."""
_SPREAD_CHECKS = 2
_CHECK_EVERY = 4
_LEAST_JUDGED = 3


@dataclass(frozen=True)
class QuickOptions:
    """How much is measured.

    Attributes:
        seconds: that the search takes at most, about; finals come after it.
        margin: a better configuration is worth finding if it is better by more than this, relative.
        chance: that there is one among what was not measured, at which the search ends.
        share: of the field's points that may be measured.
        least: points measured whatever the field is.
        most: points measured at most whatever the field is.
    """

    seconds: float = 100.0
    margin: float = 0.03
    chance: float = 0.10
    share: float = 0.2
    least: int = 6
    most: int = 20

    def points(self, size: int) -> int:
        """How many may be measured of a field of this size, the check under an open load among them."""
        return max(self.least, min(self.most, int(self.share * size)))


class QuickSearch:
    """Measures service times, predicts everything, and measures what could be best.

    Args:
        clock: seconds.
    """

    def __init__(self, options: QuickOptions | None = None, clock: Clock = monotonic) -> None:
        self._options = options or QuickOptions()
        self._clock = clock

    def run(self, field: Field, bench: Bench, watch: SearchWatch) -> Found:
        """As `Search.run`."""
        return _Run(self._options, field, bench, watch, self._clock).run()


class _Run:
    def __init__(self, options: QuickOptions, field: Field, bench: Bench, watch: SearchWatch, clock: Clock) -> None:
        self._options, self._field, self._bench = options, field, bench
        self._visits = Visits(bench, watch.goes_on, options.seconds, field.items, clock)
        self._progress = Progress(watch, self._visits)
        self._rounds = TableRounds(field, self._visits, self._tell)
        self._points = Points(field)
        self._tables: dict[int, Table] = {}
        self._forecasts = Forecasts(field, {})
        self._beliefs = Beliefs(field, self._forecasts, {})
        self._check: OpenCheck | None = None
        self._compared: dict[str, list[Compared]] = {}
        self._most = options.points(field.size)
        self._stopped_by, self._fallback = "", ""
        self._chance = math.nan
        self._is_tabling = True

    def run(self) -> Found:
        stopped = False
        self._progress.plan(self._most, self._field.size, self._seconds_left())
        try:
            self._search()
        except Ended:
            self._stopped_by = "the time is over"
        except Stopped:
            stopped = True
            self._stopped_by = "stopped by the user"
        return self._found(stopped)

    def _search(self) -> None:
        self._measure_tables()
        distrust = distrust_of_tables(self._tables.values())
        if distrust:
            self._race(distrust)
        else:
            self._check_open()
            self._measure_points()
            if not self._judge(_LEAST_JUDGED):
                self._repair()

    # Service times.

    def _measure_tables(self) -> None:
        seconds = self._options.seconds
        self._rounds.measure_coarse(_COARSE_SHARE * seconds)
        self._predict(LEAST_REQUESTS)
        chosen = self._promising(_TABLE_SHARE * seconds)
        self._rounds.measure_rest(chosen, _TABLE_SHARE * seconds)
        self._rounds.measure_disturbed(chosen, _TABLE_SHARE * seconds)
        self._is_tabling = False
        self._predict()
        missing = len(self._field.groups) - len(self._tables)
        if missing:
            self._progress.note(
                f"service times of {missing} of {len(self._field.groups)} kinds of configurations are not known"
            )
        if not all(table.is_clean for table in self._tables.values()):
            self._progress.note("others disturbed all measurements of some service times: predictions are rough")
        self._progress.plan(self._most, self._field.size, self._seconds_left())

    def _predict(self, requests: int | None = None) -> None:
        self._tables = self._rounds.tables()
        services = {group: table.service for group, table in self._tables.items()}
        self._believe(Forecasts(self._field, services, requests=requests))

    def _believe(self, forecasts: Forecasts) -> None:
        self._forecasts = forecasts
        measured = self._beliefs.measured
        self._beliefs = Beliefs(self._field, forecasts, {group: doubt(table) for group, table in self._tables.items()})
        for spot, point in measured.items():
            self._beliefs.add(spot, point)

    def _promising(self, until: float) -> list[int]:
        """Groups that can win, as many as there is time for; the current configuration's among them."""
        best: dict[int, Belief] = {}
        for belief in self._beliefs.all():
            best.setdefault(belief.spot.group, belief)
        if not best:
            return []
        top = next(iter(best.values()))
        chosen = [0] if 0 in best else []
        for group, belief in best.items():
            can_win = _CAN_WIN if self._tables[group].is_clean else _CAN_WIN_DISTURBED
            hopeless = belief.score[0] < top.score[0] or belief.log_value < top.log_value + math.log(can_win)
            cost = self._rounds.cost([*chosen, group])
            too_long = len(chosen) > 1 and cost > until - self._visits.spent
            if group not in chosen and not hopeless and not too_long:
                chosen.append(group)
        return chosen

    # Points.

    def _check_open(self) -> None:
        leader = next(iter(self._beliefs.all()), None)
        if leader is None:
            return
        group, items = leader.spot.group, self._field.items
        service = self._tables[group].service
        members = (self._rounds.carriers[group], leader.spot.configuration, *self._field.groups[group])
        largest = max(service.entries)
        configuration = next((one for one in members if setup_of(one, items).rules.limit * items <= largest), None)
        if configuration is None:  # by a schedule, larger batches come up than were measured
            return
        load = check_load(configuration, service, items, self._field.loads[0].sequences)
        self._tell(f"{configuration.label}, {load.label}")
        self._check = check_open(self._visits, configuration, service, load)
        if self._check is not None:
            self._compared.setdefault(OPEN_CHECK, []).append(self._check.compared)
            self._believe(self._forecasts.with_open_factor(self._check.factor))

    def _repair(self) -> None:
        """Once more what others disturbed, as far as the time goes: the check under an open load and the best points."""
        if self._check is None and self._visits.seconds_left > self._point_cost():
            self._check_open()
        if self._check is None:
            self._progress.note("no undisturbed check under an open load: predictions at a rate are rough")
        for spot in sorted(self._points.windows, key=self._score, reverse=True)[: self._field.rivals + 1]:
            if not self._points.point(spot).is_clean and self._visits.seconds_left > self._point_cost():
                self._measure(spot)

    def _measure_points(self) -> None:
        self._bench.hold(())
        beliefs = self._beliefs.all()
        own = [one.spot for one in beliefs if one.spot.configuration.current]
        own = own or [spot for spot in self._field.spots if spot.configuration.current]
        rivals = [one.spot for one in beliefs if not one.spot.configuration.current]
        for first in dict.fromkeys((*own[:1], *(one.spot for one in beliefs[:1]), *rivals[:1])):
            self._measure(first)
        for _ in range(_SPREAD_CHECKS):
            if self._visits.seconds_left > self._point_cost():
                self._measure(self._least_known())
        while not self._is_done() and not self._judge(ENOUGH_CHECKS):
            spot = self._next()
            if spot is None:
                break
            self._measure(spot)

    def _is_done(self) -> bool:
        unmeasured, leader = self._unmeasured(), self._beliefs.leader()
        if leader is not None:
            is_clean = self._points.point(leader.spot).is_clean
            chance = self._beliefs.chance_of_better(unmeasured, leader, self._options.margin)
            self._chance = chance if is_clean else math.nan
        count = len(self._points.windows) + (self._check is not None)
        if not unmeasured:
            self._stopped_by = "everything that is predicted was measured"
        elif leader is not None and count >= self._options.least and self._chance < self._options.chance:
            self._stopped_by = "it is unlikely that anything else is better"
        elif count >= self._most:
            self._stopped_by = f"{count} of {self._field.size} points were measured, as many as planned"
        elif self._visits.seconds_left < self._point_cost():
            self._stopped_by = "the time is over"
        else:
            return False
        return True

    def _next(self) -> Spot | None:
        leader = self._beliefs.leader()
        if leader is None or len(self._points.windows) % _CHECK_EVERY == _CHECK_EVERY - 1:
            return self._least_known()
        return self._beliefs.most_likely_winner(self._unmeasured(), leader, self._options.margin)

    def _least_known(self) -> Spot | None:
        """Of the better half."""
        unmeasured = self._unmeasured()
        return self._beliefs.surprise([one.spot for one in unmeasured[: max(1, len(unmeasured) // 2)]])

    def _unmeasured(self) -> list[Belief]:
        """Best first."""
        return [
            one
            for one in self._beliefs.all()
            if one.spot not in self._points.windows and not self._visits.has_failed(one.spot.configuration)
        ]

    def _measure(self, spot: Spot | None) -> None:
        if spot is None or self._visits.has_failed(spot.configuration):
            return
        self._tell(spot.label)
        options = point_options(self._rate(spot), self._field.items)
        windows = self._visits.measure(spot.configuration, spot.load, options)
        if not windows:
            return
        point = self._points.add(spot, windows)
        compared = self._beliefs.add(spot, point)
        if compared is not None and point.is_clean:
            self._compared.setdefault(OPEN if is_open(spot) else CLOSED, []).append(compared)
        self._progress.done(point, self._seconds_left())

    def _rate(self, spot: Spot) -> float:
        """Requests per second expected."""
        forecast = self._forecasts.of(spot)
        if forecast is not None and forecast.throughput:
            return forecast.throughput / self._field.items
        return spot.load.rate if isinstance(spot.load, OpenLoad) else 50.0

    # Whether predictions are to be trusted.

    def _judge(self, least: int) -> bool:
        """Fall back to racing where predictions are wrong; whether they are."""
        if self._fallback:
            return True
        distrust = distrust_of_predictions(self._compared, least)
        if distrust:
            self._race(distrust)
        return bool(distrust)

    def _race(self, reason: str) -> None:
        self._is_tabling = False
        self._fallback = reason
        self._progress.note(f"{reason}: points are raced instead of predicted")
        guessed = [belief.spot for belief in self._beliefs.all()]
        rest = [spot for spot in self._field.spots if spot not in set(guessed)]
        spots = [spot for spot in (*guessed, *rest) if not self._visits.has_failed(spot.configuration)]
        rates = [self._rate(spot) for spot in guessed] or [50.0]
        race_down(
            self._field,
            self._visits,
            self._points,
            spots,
            fmean(rates),
            self._progress,
        )
        self._stopped_by = "the race is over"

    # What is told.

    def _seconds_left(self) -> float:
        done = len(self._points.windows) + (self._check is not None)
        expected = (self._options.least + self._most) / 2
        left = max(1.0, expected - done) * self._point_cost()
        if self._is_tabling:
            left += self._rounds.seconds_left or self._options.seconds * _TABLE_SHARE / 2
            if not self._tables:
                left += min(self._rounds.cost(range(len(self._field.groups))), _TABLE_SHARE * self._options.seconds / 2)
        return max(self._point_cost() if done < self._options.least else 0.0, min(left, self._visits.seconds_left))

    def _point_cost(self) -> float:
        """Seconds, on average."""
        known = [self._rate(spot) for spot in self._field.spots if spot.group in self._tables]
        rate = fmean(known) if known else 50.0
        load = self._field.loads[len(self._field.loads) // 2]
        return self._visits.cost(load, point_options(rate, self._field.items), rate)

    def _tell(self, what: str) -> None:
        self._progress.begin(what, self._seconds_left())

    # What was found.

    def _found(self, stopped: bool) -> Found:
        dirty = sum(not point.is_clean for point in self._points.all)
        if dirty:
            self._progress.note(f"others disturbed every window of {dirty} of {len(self._points.windows)} points")
        self._progress.tell_failures()
        return Found(
            points=self._points.all,
            failures=self._visits.failures,
            leaders=self._points.leaders(self._score),
            current=self._points.current(self._score),
            size=self._field.size,
            windows=self._visits.count,
            load_seconds=self._visits.load_seconds,
            checks=[self._check.point] if self._check is not None else [],
            stopped=stopped,
            prediction=self._prediction(),
        )

    def _score(self, spot: Spot) -> Score:
        belief = self._beliefs.of(spot) if not self._fallback else None
        if belief is None:
            return self._points.score(spot)
        kept, value = belief.score
        return kept_score(kept), math.exp(value)

    def _prediction(self) -> Prediction:
        found = {kind: agreement(compared) for kind, compared in self._compared.items()}
        return Prediction(
            agreement=found,
            compared=self._compared,
            expected=[self._expected(belief) for belief in self._beliefs.all()],
            not_measured=len(self._field.spots) - len(self._points.windows),
            unpredicted=sum(
                spot.group not in self._tables and spot not in self._points.windows for spot in self._field.spots
            ),
            chance=self._chance,
            margin=self._options.margin,
            stopped_by=self._stopped_by,
            tables=StoredTables(
                tuple(stored(self._rounds.carriers[group], table) for group, table in self._tables.items()),
                self._check.factor if self._check is not None else 1.0,
                errors_of(found),
                self._field.items,
            ),
            fallback=self._fallback,
            notes=tuple(self._progress.notes),
        )

    def _expected(self, belief: Belief) -> Expected:
        forecast = self._forecasts.of(belief.spot)
        assert forecast is not None
        half = EIGHTY_PERCENT * belief.deviation
        return Expected(
            configuration=belief.spot.configuration,
            load=belief.spot.load,
            same=belief.spot.same,
            value=math.exp(belief.log_value),
            low=math.exp(belief.log_value - half),
            high=math.exp(belief.log_value + half),
            throughput=forecast.throughput,
            p50_ms=forecast.latency_ms(50),
            p99_ms=forecast.latency_ms(99),
            batch_avg=forecast.batch_avg,
            utilisation=forecast.utilisation,
        )
