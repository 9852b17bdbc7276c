"""Answers from stored service times what nobody measured: other rates, concurrency, delays, batch limits and budgets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tcli_analyzer.load import ClosedLoad, Load, OpenLoad
from tcli_analyzer.prediction.forecast import Forecast, forecast
from tcli_analyzer.prediction.simulator import Setup
from tcli_analyzer.prediction.stored import StoredTable, StoredTables
from tcli_analyzer.rate.slo import Slo
from tcli_server.scheduling.batching import BatchRules

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
REQUESTS = 5000

_RATE_PRECISION = 0.005


class WhatIfError(Exception):
    """The question cannot be answered from what was measured; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        loads: each is asked of each configuration.
        batch_limits: values of `max_batch_size`, for models that take batches; None for 1, 2, 4, ... up to the largest measured.
        delays_us: values of `max_queue_delay_microseconds`.
        preferred: values of `preferred_batch_size`; those above a limit are left out of it.
        items: inferences in a request.
    """

    loads: Sequence[Load]
    batch_limits: Sequence[int] | None = None
    delays_us: Sequence[int] = (0,)
    preferred: Sequence[int] = ()
    items: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a configuration is predicted to do.

    Attributes:
        table: label of the configuration that its service times are from.
        throughput: inferences per second.
        latency_ms: by percentile, such as 99.0; nan where it is overloaded.
        batch_avg: average size of an executed batch.
        utilisation: share of the time in which an instance runs.
        overloaded: requests come faster than they are answered.
        throughput_error: mean absolute error of such predictions, relative; None where none was compared.
        latency_error: of high percentiles, likewise.
    """

    table: str
    instances: int
    max_batch_size: int
    delay_us: int
    load: Load
    throughput: float
    latency_ms: dict[float, float]
    batch_avg: float
    utilisation: float
    overloaded: bool
    throughput_error: float | None = None
    latency_error: float | None = None


def what_if(tables: StoredTables, question: Question, requests: int = REQUESTS) -> list[Answer]:
    """Predict, in the order of tables, limits, delays and loads.

    Raises:
        WhatIfError: a batch limit or a size of requests is larger than what was measured.
    """
    largest = max((table.largest for table in tables.tables), default=0)
    if not largest:
        raise WhatIfError("there are no service times to predict from: analyze the model with --search quick")
    for limit in question.batch_limits or ():
        if not 1 <= limit <= largest:
            raise WhatIfError(
                f"max_batch_size {limit} cannot be predicted: batches of 1 to {largest} were measured. "
                f"Analyze the model again with --batch-sizes 1,{limit}"
            )
    if not 1 <= question.items <= largest:
        raise WhatIfError(
            f"requests of {question.items} items cannot be predicted: batches of 1 to {largest} were measured"
        )
    return [
        _answer(tables, table, question, limit, delay, load, requests)
        for table in tables.tables
        for limit in limits_of(table, question)
        for delay in (question.delays_us if limit > 1 else (0,))
        for load in question.loads
    ]


def best_answer(
    answers: Sequence[Answer], budget_ms: float | None = None, percentile: float = 99.0, careful: bool = True
) -> Answer | None:
    """The one with most throughput whose latency is within the budget; of equal ones that with the lowest latency. None if none is.

    Args:
        percentile: of `PERCENTILES`.
        careful: only those that are within it although they may be slower by the error of predictions.
    """

    def fits(answer: Answer) -> bool:
        margin = 1 + (answer.latency_error or 0.0) if careful else 1.0
        return not answer.overloaded and (budget_ms is None or answer.latency_ms[percentile] * margin <= budget_ms)

    fitting = [answer for answer in answers if fits(answer)]
    return max(fitting, key=lambda one: (float(f"{one.throughput:.3g}"), -one.latency_ms[percentile]), default=None)


def highest_rate(
    setup: Setup,
    table: StoredTable,
    open_factor: float,
    slo: Slo,
    items: int = 1,
    requests: int = REQUESTS,
) -> float:
    """The highest rate of a Poisson process, in requests per second, at which an objective is predicted to be kept.

    Returns:
        0 where even single requests take longer.
    """

    def keeps(rate: float) -> bool:
        found = forecast(setup, table.service, OpenLoad(rate), requests, items, open_factor)
        return not found.overloaded and slo.keeps(found.latencies_ms)

    outstanding = ClosedLoad(2 * setup.instances * setup.rules.limit)
    high = 1.05 * forecast(setup, table.service, outstanding, requests, items, open_factor).throughput / items
    low = high / 1000
    if not keeps(low):
        return 0.0
    while math.log(high / low) > _RATE_PRECISION:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def stored_setup(
    table: StoredTable, limit: int, delay_us: int = 0, preferred: Sequence[int] = (), items: int = 1
) -> Setup:
    """How requests wait with these settings of the batcher."""
    most = max(1, limit // items)
    sizes = frozenset(size // items for size in preferred if size % items == 0 and size <= limit) or frozenset((most,))
    return Setup(table.instances, BatchRules(most, sizes, delay_us * 1000), table.shares)


def limits_of(table: StoredTable, question: Question) -> list[int]:
    """Values of `max_batch_size` that the table answers."""
    if question.batch_limits is not None:
        asked = list(question.batch_limits)
    else:
        asked = sorted({*(2**power for power in range(table.largest.bit_length())), table.largest})
    return [limit for limit in asked if question.items <= limit <= table.largest]


def _answer(
    tables: StoredTables, table: StoredTable, question: Question, limit: int, delay: int, load: Load, requests: int
) -> Answer:
    factor = tables.open_factor if isinstance(load, OpenLoad) else 1.0
    setup = stored_setup(table, limit, delay, question.preferred, question.items)
    found: Forecast = forecast(setup, table.service, load, requests, question.items, factor)
    errors = tables.errors or {}
    return Answer(
        table=table.label,
        instances=table.instances,
        max_batch_size=limit,
        delay_us=delay,
        load=load,
        throughput=found.throughput,
        latency_ms={each: np.nan if found.overloaded else found.latency_ms(each) for each in PERCENTILES},
        batch_avg=found.batch_avg,
        utilisation=found.utilisation,
        overloaded=found.overloaded,
        throughput_error=errors.get("throughput"),
        latency_error=errors.get("p99"),
    )
