"""What stored service times answer: the simulator's word, with the error that predictions had."""

import json
import math

import numpy as np
import pytest

from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.prediction.forecast import moments_of
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.simulator import ClosedLoad as SimulatedClosed
from tcli_analyzer.prediction.simulator import OpenLoad as SimulatedOpen
from tcli_analyzer.prediction.simulator import Setup, simulate
from tcli_analyzer.prediction.stored import (
    StoredTable,
    StoredTables,
    StoredTablesError,
    read_tables,
    write_tables,
)
from tcli_analyzer.prediction.what_if import (
    Question,
    WhatIfError,
    best_answer,
    highest_rate,
    stored_setup,
    what_if,
)
from tcli_analyzer.rate.slo import parse_slo
from tcli_server.scheduling.batching import BatchRules

FIXED = ServiceTimes({1: Entry(0.010), 8: Entry(0.045)}, slowdown=(1.0, 1.5))
TABLES = StoredTables(
    (StoredTable("batch 8, 1 instance", 1, FIXED), StoredTable("batch 8, 2 instances", 2, FIXED)),
    open_factor=1.2,
    errors={"throughput": 0.03, "p50": 0.05, "p99": 0.10},
)


def test_answers_are_the_simulators():
    question = Question([ClosedLoad(6), OpenLoad(50)], batch_limits=(1, 4), delays_us=(0, 2000), preferred=(2, 8))
    answers = what_if(TABLES, question, requests=2000)
    assert len(answers) == 2 * (1 + 2) * 2  # a limit of 1 has nothing to delay
    closed = next(a for a in answers if (a.instances, a.max_batch_size, a.delay_us) == (2, 4, 2000))
    rules = BatchRules(4, frozenset((2,)), 2_000_000)
    expected = simulate(Setup(2, rules), FIXED, SimulatedClosed(6), 2000)
    assert closed.load == ClosedLoad(6)
    assert closed.throughput == expected.throughput
    assert closed.latency_ms[99.0] == expected.latency_ms(99)
    assert closed.batch_avg == expected.batch_avg
    assert closed.utilisation == expected.utilisation
    assert (closed.throughput_error, closed.latency_error) == (0.03, 0.10)


def test_a_rate_is_predicted_with_the_factor_of_open_loops():
    (answer,) = what_if(StoredTables(TABLES.tables[:1], 1.2), Question([OpenLoad(50)], (1,)), requests=2000)
    slower = ServiceTimes({1: Entry(0.012), 8: Entry(0.054)}, slowdown=(1.0, 1.5))
    moments = moments_of(OpenLoad(50), 2000 / 50)
    expected = simulate(Setup(1), slower, SimulatedOpen(moments), 2000)
    assert answer.latency_ms[50.0] == pytest.approx(expected.latency_ms(50))
    assert answer.utilisation == pytest.approx(50 * 0.012, rel=0.03)
    assert answer.throughput_error is None


def test_too_high_a_rate_is_overload_and_no_latency():
    (answer,) = what_if(StoredTables(TABLES.tables[:1]), Question([OpenLoad(150)], (1,)), requests=3000)
    assert answer.overloaded
    assert math.isnan(answer.latency_ms[99.0])


def test_without_limits_all_that_was_measured_is_answered():
    answers = what_if(StoredTables(TABLES.tables[:1]), Question([ClosedLoad(8)]), requests=500)
    assert [answer.max_batch_size for answer in answers] == [1, 2, 4, 8]


def test_the_best_under_a_budget():
    answers = what_if(TABLES, Question([ClosedLoad(1), ClosedLoad(8), ClosedLoad(16)]), requests=1000)
    free = best_answer(answers)
    assert free is not None
    assert free.throughput == max(answer.throughput for answer in answers)
    tight = best_answer(answers, budget_ms=50)
    assert tight is not None
    assert tight.latency_ms[99.0] * 1.10 <= 50  # predictions were 10 % off
    loose = best_answer(answers, budget_ms=50, careful=False)
    assert loose is not None
    assert loose.throughput >= tight.throughput
    assert best_answer(answers, budget_ms=5) is None


def test_the_highest_rate_within_a_budget_is_that_of_m_d_1():
    """Requests of 10 ms within 30 ms: at 32 a second a share of 99 % waits for at most two services (Crommelin's formula)."""
    table = StoredTable("one", 1, ServiceTimes({1: Entry(0.010)}))
    setup = stored_setup(table, 1)
    rate = highest_rate(setup, table, 1.0, parse_slo("p99<=30ms"), requests=30_000)
    utilisation = rate * 0.010
    waits = ((utilisation * (k - 2)) ** k / math.factorial(k) * math.exp(utilisation * (2 - k)) for k in range(3))
    assert (1 - utilisation) * sum(waits) == pytest.approx(0.99, abs=0.001)
    assert highest_rate(setup, table, 1.0, parse_slo("p99<=9ms"), requests=1000) == 0


def test_a_limit_that_was_not_measured_is_refused():
    with pytest.raises(WhatIfError, match=r"max_batch_size 16 .* batches of 1 to 8 were measured.*--batch-sizes 1,16"):
        what_if(TABLES, Question([ClosedLoad(1)], (16,)))
    with pytest.raises(WhatIfError, match="requests of 9 items"):
        what_if(TABLES, Question([ClosedLoad(1)], items=9))
    with pytest.raises(WhatIfError, match="no service times"):
        what_if(StoredTables(()), Question([ClosedLoad(1)]))


def test_tables_survive_json():
    spread = tuple(np.random.default_rng(0).lognormal(0, 0.3, 1000).tolist())
    service = ServiceTimes({1: Entry(0.01, spread), 4: Entry(0.03)}, (1.0, 1.4), 1e-4)
    table = StoredTable("a", 2, service, shares=False, variation=0.02, is_clean=False, is_coarse=True)
    before = StoredTables((table,), 1.14, {"p99": 0.1}, 2)
    after = read_tables(json.loads(json.dumps(write_tables(before))))
    assert (after.open_factor, after.errors, after.items) == (1.14, {"p99": 0.1}, 2)
    (again,) = after.tables
    assert (again.label, again.instances, again.shares, again.is_clean, again.is_coarse) == ("a", 2, False, False, True)
    assert again.service.entries[4].seconds == 0.03
    assert list(again.service.slowdown) == [1.0, 1.4]
    kept, given = np.array(again.service.entries[1].residuals), np.array(spread) / np.mean(spread)
    assert len(kept) == 64
    assert kept.mean() == pytest.approx(1, abs=1e-3)
    assert np.percentile(kept, 95) == pytest.approx(np.percentile(given, 95), rel=0.05)


def with_entry(**change: object) -> dict[str, object]:
    table = write_tables(TABLES)["tables"][0]
    return {**table, "entries": [{**entry, **change} for entry in table["entries"]]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 9}, "version 9, expected 1"),
        ({"tables": [{"label": "a"}]}, "damaged"),
        ({"tables": 3}, "damaged"),
        ({"errors": None}, "damaged"),
        ({"open_factor": float("nan")}, "damaged"),
        ({"items": float("inf")}, "damaged"),
        ({"tables": [with_entry(seconds=1e308)]}, "damaged"),
        ({"tables": [with_entry(residuals=[0.0])]}, "damaged"),
    ],
)
def test_damaged_tables_are_refused(change: dict, said: str):
    with pytest.raises(StoredTablesError, match=said):
        read_tables({**write_tables(TABLES), **change})


def test_something_else_is_no_table():
    with pytest.raises(StoredTablesError, match="expected an object with service times, found list"):
        read_tables([])
