"""What the load generator itself can do, and figures that are its own rather than the model's."""

import threading

import numpy as np
import pytest

from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.measuring.balance import imbalance
from tcli_analyzer.measuring.limit import GeneratorLimit, NullTarget, limited_by_generator, measure_limit
from tcli_analyzer.measuring.visit import VisitOptions, visit
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.target import Counters
from virtual_bench import VirtualBench, configuration, exponential, fixed

REQUESTS = [{"x": np.zeros((1, 16), np.float32)}]
LIMIT = GeneratorLimit(closed=20_000, open=10_000, floor_ms=0.05)


def window(rate: float = 100, latency_ms: float = 10, seconds: float = 10.0, **fields) -> Window:
    latencies = np.full(int(rate * seconds), float(latency_ms))
    return Window(0.0, seconds, latencies, Counters(), **fields)


def test_it_is_measured_against_a_target_that_does_nothing():
    limit = measure_limit(REQUESTS, seconds=0.1)
    assert limit.closed > 100
    assert limit.open > 100
    assert 0 < limit.floor_ms < 1000
    assert limit.rate(ClosedLoad(4)) == limit.closed
    assert limit.rate(OpenLoad(4)) == limit.open


@pytest.mark.parametrize(
    ("fields", "load", "said"),
    [
        ({}, OpenLoad(100), None),
        ({"late_ms": 0.9}, OpenLoad(100), None),
        ({"late_ms": 1.1}, OpenLoad(100), "1.1 ms late or later, with 1 ms allowed"),
        ({"late_ms": 1.1, "latency_ms": 40}, OpenLoad(100), None),
        ({"late_ms": 2.1, "latency_ms": 40}, OpenLoad(100), "with 2 ms allowed"),
        ({"sender_cores": 0.79}, OpenLoad(100), None),
        ({"sender_cores": 0.85}, OpenLoad(100), "used 0.85 of a core"),
        ({"sent_share": 0.991}, OpenLoad(100), None),
        ({"sent_share": 0.95}, OpenLoad(100), "only 95.0 % of the requests that were due"),
        ({"rate": 4999}, OpenLoad(4999), None),
        ({"rate": 5100}, OpenLoad(5100), "5,100 requests/s are more than half of the 10,000"),
        ({"rate": 5100}, ClosedLoad(8), None),
        ({"rate": 10_100}, ClosedLoad(8), "more than half of the 20,000"),
    ],
)
def test_a_point_that_meets_it_is_flagged(fields: dict, load, said: str | None):
    reason = limited_by_generator(window(**fields), load, LIMIT)
    assert reason is None if said is None else said in reason


def test_a_single_late_request_of_a_few_is_chance():
    assert limited_by_generator(window(rate=34, seconds=1.0, late_ms=30), OpenLoad(34)) is None
    assert limited_by_generator(window(late_ms=30), OpenLoad(100), lateness=False) is None


def test_without_a_limit_the_rest_is_still_seen():
    assert limited_by_generator(window(rate=9000), OpenLoad(9000)) is None
    assert limited_by_generator(window(late_ms=30), OpenLoad(100)) is not None


def test_more_than_the_generator_can_send_is_seen_in_a_run():
    with NullTarget() as target:
        limit = measure_limit(REQUESTS, seconds=0.1)
        options = VisitOptions(seconds=0.3, warm_up_seconds=0.05)
        (found,) = visit(target, REQUESTS, OpenLoad(20 * limit.open), options, threading.Event())
    assert limited_by_generator(found, OpenLoad(20 * limit.open), limit) is not None


@pytest.mark.parametrize("callers", [1, 3, 8])
def test_a_closed_loop_adds_up(callers: int):
    bench = VirtualBench(exponential(0.005), servers=2)
    (found,) = bench.visit(configuration(), ClosedLoad(callers), VisitOptions(seconds=20.0))
    assert imbalance(found, ClosedLoad(callers)) is None


def test_an_open_loop_adds_up():
    bench = VirtualBench(fixed(0.005))
    for seed in range(20):
        load = OpenLoad(150, seed=seed)
        (found,) = bench.visit(configuration(), load, VisitOptions(seconds=10.0))
        assert imbalance(found, load) is None


def test_lost_answers_do_not_add_up():
    assert "3.2 requests were outstanding" in imbalance(window(rate=400, latency_ms=8), ClosedLoad(4))
    assert imbalance(window(rate=500, latency_ms=8), ClosedLoad(4)) is None
    assert "1,000 requests were answered in 10 s, but 1,500 came" in imbalance(window(rate=100), OpenLoad(150))
    assert imbalance(window(rate=100, overloaded=True), OpenLoad(150)) is None
