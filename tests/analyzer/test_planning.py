"""How many replicas: against queueing theory, and what follows from what is wanted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stored_analyses import TABLES, results, write_results
from tcli_analyzer.earlier import read_earlier
from tcli_analyzer.planning.answer import planned
from tcli_analyzer.planning.plan import Demand, PlanError, plan, sensitivities
from tcli_analyzer.planning.sharing import Balance, share
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.stored import StoredTable, StoredTables
from tcli_analyzer.rate.slo import parse_slo

EXPONENTIAL = -np.log(1 - (np.arange(4000) + 0.5) / 4000)
MM1 = StoredTables((StoredTable("batch 1, 1 instance", 1, ServiceTimes({1: Entry(0.010, tuple(EXPONENTIAL))})),))
"""One request at a time, 100 a second, of times that vary as in the textbook."""

SMALL = replace(TABLES, tables=TABLES.tables[:1])
SLO = parse_slo("p99<=90ms")
DEMAND = Demand(1000, SLO)


def test_it_is_the_number_that_queueing_theory_has():
    """M/M/1: the time in the system is exponential with the rate mu - lambda."""
    found = plan(MM1, Demand(1300, parse_slo("p99<=150ms"), most_utilisation=1.0))
    assert found.needed == pytest.approx(1300 / (100 - np.log(100) / 0.150), rel=0.07)
    assert found.capacity == pytest.approx(100, rel=0.06)
    assert "p99 <= 150 ms decides" in found.sentence


def test_the_spare_one_comes_on_top_and_lowers_the_latency():
    alone, spared = plan(SMALL, DEMAND, (8,)), plan(SMALL, replace(DEMAND, spare=4), (8,))
    assert (spared.needed, spared.replicas) == (alone.needed, alone.needed + 4)
    assert spared.with_all.latency_ms(99) < spared.without_spare.latency_ms(99) <= 90


def test_replicas_are_not_filled_beyond_what_is_wanted():
    half = plan(MM1, Demand(1000, parse_slo("p99<=10s"), most_utilisation=0.5))
    assert 1000 / half.needed <= 0.5 * half.capacity
    assert half.needed == -(-1000 // (0.5 * half.capacity))
    assert "50 %" in half.sentence


def test_requests_that_come_in_turn_need_fewer_than_by_chance():
    needed = {balance: plan(MM1, Demand(500, parse_slo("p99<=150ms"), balance=balance)).needed for balance in Balance}
    assert needed[Balance.IN_TURN] < needed[Balance.RANDOM]
    by_chance, in_turn = (np.diff(share(1000, 10, balance, 4000)) for balance in Balance)
    assert by_chance.mean() == pytest.approx(0.01, rel=0.06)
    assert in_turn.mean() == pytest.approx(0.01, rel=0.06)
    assert in_turn.std() < 0.5 * by_chance.std()


def test_predictions_are_taken_to_be_as_wrong_as_they_were():
    sure, wrong = (plan(replace(SMALL, errors={"p99": error}), DEMAND, (8,)).needed for error in (0.0, 0.3))
    assert sure < wrong


def test_what_no_number_keeps_is_refused_with_what_is_possible():
    with pytest.raises(
        PlanError, match=r"no number of replicas keeps p99 <= 10 ms: .* p99 12 ms \(batch 1, 1 instance\)"
    ):
        plan(SMALL, Demand(5000, parse_slo("p99<=10ms")), (1,))


def test_one_replica_is_enough_for_little():
    assert plan(SMALL, Demand(1, SLO), (4,)).replicas == 1


def test_what_changes_the_number_is_told():
    demand = replace(DEMAND, rate=500)
    fleet = plan(SMALL, demand, (4,))
    told = {one.assumed: one.replicas for one in sensitivities(SMALL, demand, fleet)}
    assert told["20 % more requests"] == pytest.approx(1.2 * fleet.replicas, abs=1)
    assert told["executions take 20 % longer"] > fleet.replicas
    assert told["a proxy that chooses by round-robin"] <= fleet.replicas


def test_configurations_whose_answers_are_wrong_are_left_out(tmp_path: Path):
    document = results()
    right = planned(read_earlier(write_results(tmp_path / "right", document)), DEMAND, (4,))
    assert right.fleet.instances == 2
    document["points"] += [{"configuration": "batch 4, 2 instances", "accuracy_verdict": "wrong"}]
    left = planned(read_earlier(write_results(tmp_path / "wrong", document)), DEMAND, (4,))
    assert left.fleet.instances == 1
    document["points"] += [{"configuration": "batch 1, 1 instance", "accuracy_verdict": "wrong"}]
    with pytest.raises(PlanError, match="answer otherwise than the model"):
        planned(read_earlier(write_results(tmp_path / "none", document)), DEMAND, (4,))
