"""The highest rate under an objective, of queues whose answer is known from theory or from simulations that are not ours.

No time passes: see `virtual_bench`.
"""

import math
from functools import cache

import numpy as np
import pytest
import simpy

from tcli_analyzer.bench.journaled import JournaledBench
from tcli_analyzer.journal import Journal
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.simulator import Setup
from tcli_analyzer.rate.found import Purpose, RateFound, Verdict
from tcli_analyzer.rate.probing import RateOptions
from tcli_analyzer.rate.search import find_rate
from tcli_analyzer.rate.slo import parse_slo
from tcli_analyzer.rate.start import Start, predicted_start
from virtual_bench import VirtualBench, configuration, exponential, fixed

SERVICE = 0.005
TABLE = ServiceTimes({1: Entry(1.06 * SERVICE)})
"""That a prediction starts from: 6 % off."""


@cache
def m_d_1_rate(limit: float, share: float = 0.99) -> float:
    """At which so many of the requests wait no longer than the limit, less their service: by Crommelin's formula for M/D/1, from

    P(W <= t) = (1 - ρ) Σ_k (λ(k s - t))^k / k! · exp(-λ(k s - t)), k s <= t.
    """

    def kept(rate: float, wait: float) -> float:
        terms = [
            (rate * (k * SERVICE - wait)) ** k / math.factorial(k) * math.exp(-rate * (k * SERVICE - wait))
            for k in range(int(wait / SERVICE + 1e-9) + 1)
        ]
        return (1 - rate * SERVICE) * math.fsum(terms)

    low, high = 1.0, 0.999 / SERVICE
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle, limit - SERVICE) >= share else (low, middle)
    return low


def found(slo: str, bench: VirtualBench, start: Start | None = None, instances: int = 1, **options) -> RateFound:
    return find_rate(
        bench, configuration(instances), parse_slo(slo), start or Start(), RateOptions(**options), lambda _: True
    )


def searched(slo: str, bench, start: Start, seeds: int) -> list[RateFound]:
    return [found(slo, bench(), start, seed=1000 * seed) for seed in range(seeds)]


def judge(results: list[RateFound], truth: float, off: float, requests: float) -> None:
    """Estimates are near the truth, intervals hold it, and answers keep the objective but for the chance of one in ten."""
    errors = np.array([result.estimate / truth - 1 for result in results])
    assert np.percentile(errors, 5) > -off
    assert np.percentile(errors, 95) < off
    assert abs(np.median(errors)) < off / 2
    assert np.mean([result.low < truth < result.high for result in results]) >= 0.8
    assert np.mean([result.rate <= 1.015 * truth for result in results]) >= 0.9
    assert np.median([result.rate for result in results]) > (1 - 1.5 * off) * truth
    assert np.median([result.requests for result in results]) < requests


def test_one_server_with_fixed_times():
    slo = "p99<=25ms"
    start = predicted_start(Setup(1), TABLE, parse_slo(slo))
    results = searched(slo, lambda: VirtualBench(fixed(SERVICE)), start, 40)
    assert m_d_1_rate(0.025) == pytest.approx(111.7, rel=0.005)  # as half a million simulated requests had it
    judge(results, m_d_1_rate(0.025), 0.09, 8500)
    assert np.mean([result.verdict is Verdict.CONFIRMED for result in results]) > 0.9


def test_the_search_itself_takes_some_thousand_requests():
    """The run that confirms comes on top."""
    slo = "p99<=25ms"
    start = predicted_start(Setup(1), TABLE, parse_slo(slo))
    results = searched(slo, lambda: VirtualBench(fixed(SERVICE)), start, 20)
    probing = [
        sum(probe.windows.requests for probe in result.probes if probe.purpose is Purpose.SEARCH) for result in results
    ]
    assert np.median(probing) <= 7000


def test_one_server_with_exponential_times():
    """Its latencies are exponential, too, with a mean of s / (1 - ρ)."""
    slo = "p99<=100ms"
    truth = (1 - SERVICE * math.log(100) / 0.1) / SERVICE
    judge(searched(slo, lambda: VirtualBench(exponential(SERVICE)), Start(140.0), 20), truth, 0.13, 25_000)


def test_an_average():
    slo = "avg<=20ms"
    truth = (1 - SERVICE / 0.02) / SERVICE
    judge(searched(slo, lambda: VirtualBench(exponential(SERVICE)), Start(140.0), 20), truth, 0.12, 9000)


def simulated_p99(servers: int, rate: float) -> float:
    """Seconds, of M/D/c by simpy."""
    world = simpy.Environment()
    pool = simpy.Resource(world, servers)
    random = np.random.default_rng(6)
    taken: list[float] = []

    def one():
        begin = world.now
        with pool.request() as turn:
            yield turn
            yield world.timeout(SERVICE)
        taken.append(world.now - begin)

    def arrive():
        for gap in random.exponential(1 / rate, 100_000):
            yield world.timeout(gap)
            world.process(one())

    world.process(arrive())
    world.run()
    return float(np.percentile(taken, 99))


def test_several_servers():
    """The limit is what simpy says of a rate: that rate has to come out."""
    rate, servers = 380.0, 3
    limit = simulated_p99(servers, rate)
    slo = f"p99<={1e3 * limit:.4f}ms"
    start = predicted_start(Setup(servers), TABLE, parse_slo(slo))
    results = [
        found(slo, VirtualBench(fixed(SERVICE), servers), start, servers, seed=1000 * seed) for seed in range(10)
    ]
    judge(results, rate, 0.09, 25_000)


@pytest.mark.parametrize("start", [None, 20.0, 400.0])
def test_any_start_will_do(start: float | None):
    results = searched("p99<=25ms", lambda: VirtualBench(fixed(SERVICE)), Start(start), 10)
    judge(results, m_d_1_rate(0.025), 0.12, 13_000)


@pytest.mark.parametrize(("slo", "binding"), [("p99<=25ms,p50<=20ms", "p99"), ("p99<=250ms,avg<=8ms", "avg")])
def test_the_condition_that_is_lost_first_is_named(slo: str, binding: str):
    result = found(slo, VirtualBench(fixed(SERVICE)))
    assert result.binding.name == binding
    assert f"{binding} is the first to be lost" in result.sentence
    # avg: W = ρ s / (2 (1 - ρ)) = 3 ms at ρ = 6/11
    assert result.estimate == pytest.approx(m_d_1_rate(0.025) if binding == "p99" else 6 / 11 / SERVICE, rel=0.1)


def test_a_cliff_is_an_answer_between_two_rates():
    bench = VirtualBench(fixed(0.002), extra=lambda rate: 0.05 if rate > 100 else 0.0)
    result = found("p99<=25ms", bench)
    assert result.verdict is Verdict.CLIFF
    assert result.low <= 100 <= result.high < 1.03 * result.low
    assert result.rate <= 100
    assert "is lost all at once" in result.sentence


def test_a_fluke_is_no_cliff():
    """One probe in which everything is late, for once and unseen: it is tried again before anything is made of it."""
    calls: list[float] = []

    def extra(rate: float) -> float:
        if not calls or calls[-1] != rate:
            calls.append(rate)
        return 0.05 if len(calls) == 2 else 0.0

    result = found("p99<=25ms", VirtualBench(fixed(SERVICE), extra=extra))
    assert result.verdict is not Verdict.CLIFF
    assert result.estimate == pytest.approx(m_d_1_rate(0.025), rel=0.12)


def test_less_than_the_service_takes_cannot_be_kept():
    result = found("p99<=4ms", VirtualBench(fixed(SERVICE)))
    assert result.verdict is Verdict.IMPOSSIBLE
    assert result.rate is None
    assert result.sentence == "not even one request alone keeps p99 <= 4 ms: alone it takes 5.00 ms"
    assert not result.probes


def test_a_limit_that_is_never_near_leaves_the_capacity():
    result = found("p99<=10s", VirtualBench(fixed(SERVICE)))
    assert result.verdict is Verdict.CAPACITY
    assert result.rate == pytest.approx(1 / SERVICE, rel=0.05)
    assert result.rate < 1 / SERVICE
    assert "latency is no limit" in result.sentence


def test_disturbed_probes_are_repeated_and_do_not_count():
    result = found("p99<=25ms", VirtualBench(fixed(SERVICE), disturbed=lambda number: number % 3 == 0))
    assert result.dropped >= 1
    assert all(probe.is_clean for probe in result.probes if probe.counts)
    assert result.estimate == pytest.approx(m_d_1_rate(0.025), rel=0.12)


def test_clean_probes_put_disturbed_ones_aside():
    """The first visits are all disturbed: the capacity, too, is three times what it looked like."""
    bench = VirtualBench(fixed(SERVICE), disturbed=lambda number: number < 10)
    result = found("p99<=25ms", bench, Start(60.0))
    assert result.verdict is Verdict.CONFIRMED
    assert result.estimate == pytest.approx(m_d_1_rate(0.025), rel=0.12)


def test_nobody_is_said_to_be_too_slow_because_others_are_busy():
    """Alone it takes 5 ms, here 15: that tells nothing of 7 ms, and 4 ms are too few either way."""
    busy = VirtualBench(fixed(SERVICE), disturbed=lambda _: True)
    assert found("p99<=20ms", busy).verdict is not Verdict.IMPOSSIBLE
    assert found("p99<=4ms", busy).verdict is Verdict.IMPOSSIBLE


def test_nothing_is_claimed_from_disturbed_probes_alone():
    bench = VirtualBench(fixed(SERVICE), disturbed=lambda _: True)
    result = found("p99<=25ms", bench, Start(100.0))
    assert result.verdict is Verdict.DISTURBED
    assert not result.is_claim
    assert result.high is None
    assert "no claim: other processes disturbed" in result.sentence
    assert len(bench.loads) < 25


def test_a_run_that_is_too_short_does_not_confirm():
    result = found("p99<=25ms", VirtualBench(fixed(SERVICE)), longest_seconds=10)
    assert result.verdict is Verdict.TOO_SHORT
    assert result.confirmed_requests < result.needed_requests
    assert "to confirm" in result.sentence


def test_it_ends_in_time():
    bench = VirtualBench(fixed(SERVICE))
    result = found("p99<=25ms", bench, most_seconds=25)
    assert bench.seconds < 25 + 60 + 10  # a run that had begun, and the closed loops
    assert result.verdict in (Verdict.CONFIRMED, Verdict.UNCONFIRMED)
    busy = VirtualBench(fixed(SERVICE), disturbed=lambda number: number > 5)
    found("p99<=25ms", busy, most_seconds=60)
    assert busy.seconds < 60 + 3 * 60 + 10


def test_it_ends_when_it_is_told_to():
    result = find_rate(
        VirtualBench(fixed(SERVICE)),
        configuration(),
        parse_slo("p99<=25ms"),
        Start(20.0),
        RateOptions(),
        lambda _: False,
    )
    assert len(result.probes) == 1
    assert result.verdict is Verdict.UNCONFIRMED
    assert result.rate <= 20


def test_all_configurations_get_the_same_arrivals():
    benches = [VirtualBench(fixed(seconds)) for seconds in (0.002, 0.005)]
    for bench in benches:
        found("p99<=25ms", bench)
    seeds = [[load.seed for load in bench.loads if hasattr(load, "seed")] for bench in benches]
    assert seeds[0][:4] == seeds[1][:4] == [0, 1, 2, 3]


def test_a_search_that_was_cut_off_comes_to_the_same_answer(tmp_path):
    """Windows keep single precision: counts over the limit must be the same, or all that follows differs."""
    path = tmp_path / "journal.jsonl"
    whole = found("p99<=25ms,avg<=20ms", VirtualBench(fixed(SERVICE)))
    bench = VirtualBench(fixed(SERVICE))
    with Journal(path, {}, resume=False) as journal:
        journaled = JournaledBench(bench, journal)
        probes = iter(range(4))
        find_rate(
            journaled,
            configuration(),
            whole.slo,
            Start(),
            RateOptions(),
            lambda _: next(probes) < 2,
        )
    before = len(bench.loads)
    with Journal(path, {}, resume=True) as journal:
        again = find_rate(
            JournaledBench(bench, journal), configuration(), whole.slo, Start(), RateOptions(), lambda _: True
        )
    assert before == 2 + 3  # two closed loops, three probes
    assert len(bench.loads) - before == len(whole.probes) - 3
    assert [probe.rate for probe in again.probes] == pytest.approx([probe.rate for probe in whole.probes], rel=0.01)
    assert again.verdict is whole.verdict


def test_a_rate_that_is_the_generators_is_said():
    result = found("p99<=25ms", VirtualBench(fixed(SERVICE)))
    assert result.limited(GeneratorLimit(closed=5000, open=5000, floor_ms=0.1)) is None
    assert "limited by the load generator" in result.limited(GeneratorLimit(closed=150, open=150, floor_ms=0.1))


def test_time_that_is_up_proves_nothing():
    """Nothing was kept so far, and lower rates were not tried."""
    bench = VirtualBench(fixed(1.0))
    stopped = find_rate(bench, configuration(), parse_slo("p99<=1100ms"), Start(0.9), RateOptions(), lambda _: False)
    assert stopped.verdict is Verdict.STOPPED
    assert stopped.rate is None


@pytest.mark.parametrize("seed", range(5))
def test_a_confirmed_rate_lies_within_its_interval(seed: int):
    answer = found("p99<=20ms", VirtualBench(fixed(SERVICE)), Start(110.0), seed=1000 * seed)
    assert answer.low is not None
    assert answer.low <= answer.rate <= answer.high
