"""The imagined batcher against queueing theory, an independent simulation, and the real one."""

import math

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from tcli_analyzer.arrivals import Distribution, schedule
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.simulator import ClosedLoad, OpenLoad, Setup, plan, simulate
from tcli_server.request import InferenceRequest
from tcli_server.scheduling.batching import BatchRules, plan_batch

SECONDS = 0.010
FIXED = ServiceTimes({1: Entry(SECONDS)})
LONG = 100_000


def exponential(count: int = 20_000) -> ServiceTimes:
    residuals = np.random.default_rng(0).exponential(1, count)
    return ServiceTimes({1: Entry(SECONDS, tuple(residuals / residuals.mean()))})


def poisson(rate: float, requests: int = LONG) -> OpenLoad:
    return OpenLoad(schedule(rate, requests / rate, seed=1))


@pytest.mark.parametrize("utilisation", [0.5, 0.8, 0.9])
def test_one_server_with_fixed_times_waits_as_m_d_1_says(utilisation: float):
    found = simulate(Setup(1), FIXED, poisson(utilisation / SECONDS), LONG)
    wait = SECONDS * utilisation / (2 * (1 - utilisation))
    assert found.latencies_ms.mean() / 1e3 - SECONDS == pytest.approx(wait, rel=0.07)
    assert found.utilisation == pytest.approx(utilisation, rel=0.02)
    assert not found.overloaded


def test_one_server_with_exponential_times_is_m_m_1():
    utilisation = 0.7
    found = simulate(Setup(1), exponential(), poisson(utilisation / SECONDS), LONG)
    assert found.latencies_ms.mean() / 1e3 == pytest.approx(SECONDS / (1 - utilisation), rel=0.05)
    assert found.latency_ms(99) / 1e3 == pytest.approx(SECONDS * math.log(100) / (1 - utilisation), rel=0.07)


def test_several_servers_wait_as_erlang_says():
    servers, offered = 3, 2.4
    found = simulate(Setup(servers), exponential(), poisson(offered / SECONDS), LONG)
    blocked = offered**servers / math.factorial(servers) * servers / (servers - offered)
    share = blocked / (sum(offered**k / math.factorial(k) for k in range(servers)) + blocked)
    assert found.latencies_ms.mean() / 1e3 - SECONDS == pytest.approx(share * SECONDS / (servers - offered), rel=0.07)


def in_simpy(servers: int, moments: np.ndarray) -> list[float]:
    """Seconds that each request takes with fixed times at so many servers: M/D/c, which has no short formula."""
    world = simpy.Environment()
    pool = simpy.Resource(world, servers)
    taken = []

    def one(moment: float):
        yield world.timeout(moment)
        with pool.request() as turn:
            yield turn
            yield world.timeout(SECONDS)
        taken.append(world.now - moment)

    for moment in moments:
        world.process(one(moment))
    world.run()
    return taken


def test_the_same_arrivals_take_the_same_time_elsewhere():
    moments = schedule(0.85 * 2 / SECONDS, 100, seed=5)
    found = simulate(Setup(2), FIXED, OpenLoad(moments), len(moments))
    assert found.latencies_ms == pytest.approx(np.array(in_simpy(2, moments)[len(moments) // 10 :]) * 1e3, rel=1e-6)


def test_constant_arrivals_below_capacity_do_not_wait():
    found = simulate(Setup(1), FIXED, OpenLoad(schedule(90, 20, Distribution.CONSTANT)), LONG)
    assert found.latencies_ms == pytest.approx(np.full(found.latencies_ms.shape, 1e3 * SECONDS))


def test_more_than_it_can_do_is_overload():
    assert simulate(Setup(1), FIXED, poisson(110, 5000), 5000).overloaded
    assert not simulate(Setup(1), FIXED, poisson(80, 5000), 5000).overloaded


@pytest.mark.parametrize(("instances", "concurrency"), [(1, 1), (1, 4), (2, 1), (2, 2), (3, 7)])
def test_a_closed_loop_does_what_its_bounds_allow(instances: int, concurrency: int):
    found = simulate(Setup(instances), FIXED, ClosedLoad(concurrency), 2000)
    assert found.throughput == pytest.approx(min(instances, concurrency) / SECONDS, rel=0.01)
    assert concurrency == pytest.approx(found.throughput * found.latencies_ms.mean() / 1e3, rel=0.01)  # Little


def test_instances_slow_each_other_down():
    service = ServiceTimes({1: Entry(SECONDS)}, slowdown=(1.0, 1.6))
    assert simulate(Setup(2), service, ClosedLoad(1), 500).throughput == pytest.approx(1 / SECONDS, rel=0.01)
    assert simulate(Setup(2), service, ClosedLoad(4), 500).throughput == pytest.approx(2 / 1.6 / SECONDS, rel=0.01)


def batched(most: int = 8) -> ServiceTimes:
    return ServiceTimes({1: Entry(SECONDS), most: Entry(SECONDS * (1 + 0.5 * (most - 1)))})


def test_batches_are_as_large_as_what_waits():
    found = simulate(Setup(1, BatchRules(8, frozenset((8,)))), batched(), ClosedLoad(16), 4000)
    assert found.batch_avg == pytest.approx(8, rel=0.01)
    assert found.throughput == pytest.approx(8 / batched().seconds(8), rel=0.01)


def test_free_instances_share_what_waits():
    """An instance that still replies is about to be free: the other leaves it its half."""
    spread = tuple(np.random.default_rng(0).lognormal(-0.02, 0.2, 1000))
    service = ServiceTimes({1: Entry(0.0097, spread), 8: Entry(0.0776, spread)}, reply_seconds=45e-6)
    rules = BatchRules(8, frozenset((8,)))
    assert simulate(Setup(2, rules), service, ClosedLoad(3), 4000).batch_avg == pytest.approx(1.34, abs=0.05)


@given(
    limit=st.integers(1, 9),
    preferred=st.sets(st.integers(1, 9), max_size=3),
    delay_ms=st.integers(0, 5),
    queued=st.integers(1, 12),
    waited_ms=st.integers(0, 6),
)
def test_the_rules_are_the_servers(limit: int, preferred: set[int], delay_ms: int, queued: int, waited_ms: int):
    preferred = {size for size in preferred if size <= limit} or {limit}
    rules = BatchRules(limit, frozenset(preferred), delay_ms * 1_000_000)
    requests = [InferenceRequest("m", {}, batch_size=1, shape_key="s", queue_ns=0) for _ in range(queued)]
    count, left_ns = plan_batch(requests, rules, limit, waited_ms * 1_000_000)
    found, left = plan(rules, limit, queued, waited_ms / 1e3)
    assert (found, left) == (count, pytest.approx(left_ns / 1e9))


def test_a_delay_waits_for_a_preferred_size_and_no_longer():
    rules = BatchRules(8, frozenset((4,)), 30_000_000)
    found = simulate(Setup(1, rules), batched(), ClosedLoad(4), 1000)
    assert found.batch_avg == pytest.approx(4, rel=0.02)
    lonely = simulate(Setup(1, rules), batched(), ClosedLoad(1), 200)
    assert lonely.latencies_ms == pytest.approx(np.full(lonely.latencies_ms.shape, 30 + 1e3 * SECONDS))


def test_replies_hold_the_instance():
    service = ServiceTimes({1: Entry(SECONDS)}, reply_seconds=0.005)
    assert simulate(Setup(1), service, ClosedLoad(4), 500).throughput == pytest.approx(1 / 0.015, rel=0.01)


def test_a_batch_that_was_not_measured_is_refused():
    with pytest.raises(ValueError, match=r"batch of 4: measured were \[1\]"):
        simulate(Setup(1, BatchRules(4, frozenset((4,)))), FIXED, ClosedLoad(4), 100)


def test_the_same_seed_gives_the_same_arrivals_at_any_rate():
    slow, fast = schedule(10, 100, seed=3), schedule(20, 50, seed=3)
    assert fast == pytest.approx(slow[: len(fast)] / 2)


@pytest.mark.parametrize("callers", [1, 4])
def test_hours_of_waiting_end(callers: int):
    """The clock grows until sums round by more than a moment: what is due must be due then, not for ever."""
    rules = BatchRules(8, frozenset((8,)), max_delay_ns=60_000_000_000)
    found = simulate(Setup(1, rules), batched(), ClosedLoad(callers), 3000)
    assert found.throughput == pytest.approx(callers / 60, rel=0.01)


def test_a_closed_loop_is_never_too_much():
    found = simulate(Setup(1), FIXED, ClosedLoad(50_000), 500)
    assert not found.overloaded
    assert found.throughput == pytest.approx(1 / SECONDS, rel=0.05)
