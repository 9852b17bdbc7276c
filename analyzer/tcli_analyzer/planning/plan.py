"""The fewest replicas that keep an objective at a rate, predicted by simulating one of them under its share of the requests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.planning.sharing import Balance, share
from tcli_analyzer.prediction.forecast import Forecast, forecast, forecast_at
from tcli_analyzer.prediction.scenario import setting_label
from tcli_analyzer.prediction.stored import StoredTable, StoredTables
from tcli_analyzer.prediction.what_if import Question, limits_of, stored_setup, what_if
from tcli_analyzer.rate.slo import Slo

_REQUESTS = 5_000
"""Simulated while looking for the number."""
_REQUESTS_SURE = 20_000
"""Simulated of what is answered, so that chance moves a p99 less."""
_REQUESTS_FULL = 1_500
"""Simulated to know what a replica takes at most: a mean needs fewer."""
_ALONE = 0.001
"""Of what a replica takes at most: at this rate hardly a request meets another one."""


class PlanError(Exception):
    """There is no such number; the message says why.

    Attributes:
        fix: what to do about it.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class Demand:
    """What is wanted.

    Attributes:
        rate: requests per second of all replicas together, on average.
        items: inferences in a request.
        spare: replicas that may be lost, and the objective is still kept.
        most_utilisation: share of what a replica takes at most that it is to be given, above 0, at most 1.
        slower: a factor on all execution times.
    """

    rate: float
    slo: Slo
    items: int = 1
    spare: int = 0
    most_utilisation: float = 0.8
    balance: Balance = Balance.RANDOM
    slower: float = 1.0


@dataclass(frozen=True)
class Fleet:
    """Replicas that are enough.

    Attributes:
        configuration: of each, such as "batch 8, 2 instances".
        needed: without the spare ones.
        replicas: all.
        capacity: requests per second that one takes at most.
        with_all, without_spare: one replica under its share, when all run and when the spare ones are lost.
        sentence: what decided the number.
    """

    configuration: str
    max_batch_size: int
    instances: int
    needed: int
    replicas: int
    capacity: float
    with_all: Forecast
    without_spare: Forecast
    sentence: str


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What becomes of the number if an assumption is wrong.

    Attributes:
        assumed: what is different.
        replicas: then; None if no number keeps the objective.
    """

    assumed: str
    replicas: int | None


def plan(tables: StoredTables, demand: Demand, batch_limits: Sequence[int] | None = None) -> Fleet:
    """The fewest replicas over all configurations; of equally few those with the lowest latency.

    Latencies are taken to be longer, and capacities to be smaller, by the error that predictions had in that analysis.

    Args:
        batch_limits: values of `max_batch_size`; None for 1, 2, 4, ... up to the largest that was measured.

    Raises:
        PlanError: no number of replicas keeps the objective.
        WhatIfError: the tables cannot answer that.
    """
    found = _fewest(tables, demand, batch_limits)
    return found.replica.fleet(found.needed)


def _fewest(tables: StoredTables, demand: Demand, batch_limits: Sequence[int] | None) -> "_Found":
    question = Question(loads=(), batch_limits=batch_limits, items=demand.items)
    what_if(tables, question)  # says what cannot be answered
    replicas = [
        _Replica(tables, table, limit, demand) for table in tables.tables for limit in limits_of(table, question)
    ]
    best: _Found | None = None
    for one in sorted(replicas, key=lambda each: each.least):
        if best is not None and one.least > best.needed:
            break
        found = one.search()
        if found is not None and (best is None or found.rank < best.rank):
            best = found
    if best is None:
        raise _refusal(replicas, demand)
    return best


def sensitivities(tables: StoredTables, demand: Demand, fleet: Fleet) -> list[Sensitivity]:
    """The same plan, with the same configuration, where things are otherwise than assumed."""
    other = Balance.IN_TURN if demand.balance is Balance.RANDOM else Balance.RANDOM
    cases = [
        ("executions take 20 % longer", replace(demand, slower=1.2)),
        ("20 % more requests", replace(demand, rate=1.2 * demand.rate)),
        (f"a proxy that chooses by {other}", replace(demand, balance=other)),
    ]
    of_it = replace(
        tables,
        tables=tuple(
            table
            for table in tables.tables
            if setting_label(table.label, fleet.max_batch_size, 0) == fleet.configuration
        ),
    )
    found = []
    for assumed, changed in cases:
        try:
            replicas: int | None = _fewest(of_it, changed, (fleet.max_batch_size,)).needed + demand.spare
        except PlanError:
            replicas = None
        found.append(Sensitivity(assumed, replicas))
    return found


class _Replica:
    """One configuration.

    Attributes:
        least: replicas below which there is too much to do.
    """

    def __init__(self, tables: StoredTables, table: StoredTable, limit: int, demand: Demand) -> None:
        self._service = table.service
        self._factor = tables.open_factor * demand.slower
        self._demand = demand
        self._limit = limit
        self._instances = table.instances
        self._setup = stored_setup(table, limit, items=demand.items)
        self.label = setting_label(table.label, limit, 0)
        errors = tables.errors or {}
        self._longer = 1 + _known(errors.get("p99"))
        outstanding = ClosedLoad(2 * self._setup.instances * self._setup.rules.limit)
        full = forecast(self._setup, self._service, outstanding, _REQUESTS_FULL, demand.items, self._factor)
        self._capacity = full.throughput / demand.items / (1 + _known(errors.get("throughput")))
        self.least = max(1, math.ceil(demand.rate / (self._capacity * demand.most_utilisation)))

    def fleet(self, needed: int) -> Fleet:
        """So many, or some more if a longer simulation says so.

        Raises:
            PlanError: no number is enough, which a shorter simulation did not see.
        """
        demand = self._demand
        without = self._under(demand.rate, needed, _REQUESTS_SURE)
        while not self._keeps(without):
            needed += max(1, needed // 200)
            if self._is_alone(needed):
                raise _refusal([self], demand)
            without = self._under(demand.rate, needed, _REQUESTS_SURE)
        replicas = needed + demand.spare
        return Fleet(
            configuration=self.label,
            max_batch_size=self._limit,
            instances=self._instances,
            needed=needed,
            replicas=replicas,
            capacity=self._capacity,
            with_all=self._under(demand.rate, replicas, _REQUESTS_SURE) if demand.spare else without,
            without_spare=without,
            sentence=self._reason(needed),
        )

    def alone(self) -> Forecast:
        """Requests that hardly meet each other."""
        return self._under(_ALONE * self._capacity, 1, _REQUESTS_FULL)

    def search(self) -> "_Found | None":
        """The fewest that are enough; None if no number is."""
        if self._enough(self.least):
            return self._found(self.least)
        if not self._keeps(self.alone()):
            return None
        low, high = self.least, 2 * self.least
        while not self._enough(high):
            low, high = high, 2 * high
            if self._is_alone(high):
                return None
        while high - low > max(1, low // 500):
            middle = (low + high) // 2
            low, high = (low, middle) if self._enough(middle) else (middle, high)
        return self._found(high)

    def _found(self, needed: int) -> "_Found":
        return _Found(self, needed, self._under(self._demand.rate, needed, _REQUESTS).latency_ms(99))

    def _is_alone(self, replicas: int) -> bool:
        """Whether more replicas change nothing any more."""
        return self._demand.rate / replicas < _ALONE * self._capacity

    def _enough(self, replicas: int) -> bool:
        return self._keeps(self._under(self._demand.rate, replicas, _REQUESTS))

    def _under(self, rate: float, replicas: int, requests: int) -> Forecast:
        moments = share(rate, replicas, self._demand.balance, requests)
        return forecast_at(self._setup, self._service, moments, self._demand.items, self._factor)

    def _keeps(self, found: Forecast) -> bool:
        return not found.overloaded and self._demand.slo.keeps(found.latencies_ms * self._longer)

    def _reason(self, needed: int) -> str:
        if needed > self.least:
            return f"{self._demand.slo.text} decides: with fewer replicas requests wait too long"
        if needed == 1:
            return "one replica is enough"
        most = 100 * self._demand.most_utilisation
        return f"what a replica takes decides: with fewer each had more than {most:g} % of that"


def _known(error: float | None) -> float:
    return error if error is not None and math.isfinite(error) else 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    """So many replicas are enough.

    Attributes:
        p99_ms: then.
    """

    replica: _Replica
    needed: int
    p99_ms: float

    @property
    def rank(self) -> tuple[int, float]:
        """What is best has the least."""
        return self.needed, self.p99_ms


def _refusal(replicas: "Sequence[_Replica]", demand: Demand) -> PlanError:
    """Why no number is enough: single requests take too long already."""
    fastest = min(replicas, key=lambda one: one.alone().mean_ms)
    alone = fastest.alone()
    figures = ", ".join(
        f"{condition.name} {condition.value_ms(alone.latencies_ms):.3g} ms" for condition in demand.slo.conditions
    )
    return PlanError(
        f"no number of replicas keeps {demand.slo.text}: requests that meet no other one already have {figures} "
        f"({fastest.label}), and predictions of that analysis may be off",
        "allow more time, or analyze what is faster: other engines, precisions, threads, or another machine",
    )
