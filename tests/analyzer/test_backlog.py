"""Rates that are too high are given up early, those that are not never, and a stall hides from nobody."""

import queue
import threading
from itertools import count
from time import perf_counter_ns, sleep

import numpy as np
import pytest

from tcli_analyzer.arrivals import Distribution, endless
from tcli_analyzer.load import OpenLoad
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.load.open import OpenLoop
from tcli_analyzer.measuring.length import Pace, open_options
from tcli_analyzer.measuring.visit import VisitOptions, visit
from tcli_analyzer.target import Counters
from virtual_bench import VirtualBench, configuration, exponential, fixed
from waiting import until

REQUESTS = [{"x": np.zeros(1, np.float32)}]
SERVICE = 0.005


class Worker:
    """A target that takes so many seconds for each request, one after the other, and longer for one of them.

    Attributes:
        frozen_ns: when that one began and ended, of `perf_counter_ns`.
    """

    def __init__(self, seconds: float = 0.0, freeze_at: int = -1, freeze_seconds: float = 0.0) -> None:
        self.sent = 0
        self.frozen_ns = 0, 0
        self._seconds = seconds
        self._freeze = freeze_at, freeze_seconds
        self._waiting: queue.Queue = queue.Queue()
        threading.Thread(target=self._answer, daemon=True).start()

    def submit(self, _: object, reply) -> None:
        self._waiting.put((self.sent, reply))
        self.sent += 1

    def counters(self) -> Counters:
        return Counters()

    def _answer(self) -> None:
        at, seconds = self._freeze
        while True:
            number, reply = self._waiting.get()
            if number == at:
                begin = perf_counter_ns()
                sleep(seconds)
                self.frozen_ns = begin, perf_counter_ns()
            elif self._seconds:
                sleep(self._seconds)
            reply(None)


def overloaded(bench: VirtualBench, rate: float, seed: int, requests: int = 2000) -> tuple[bool, int]:
    (window,) = bench.visit(
        configuration(), OpenLoad(rate, seed=seed), VisitOptions(seconds=requests / rate, warm_up_seconds=0.25)
    )
    return window.overloaded, len(window.latencies_ms)


@pytest.mark.parametrize(("factor", "answered"), [(1.3, 1500), (2.0, 400), (10.0, 200)])
def test_more_than_the_capacity_is_given_up_soon(factor: float, answered: int):
    found = [overloaded(VirtualBench(fixed(SERVICE)), factor / SERVICE, seed) for seed in range(30)]
    assert all(given_up for given_up, _ in found)
    assert np.median([count for _, count in found]) < answered


@pytest.mark.parametrize("utilisation", [0.5, 0.8, 0.95])
def test_a_queue_that_is_just_long_is_not_given_up(utilisation: float):
    found = [overloaded(VirtualBench(exponential(SERVICE)), utilisation / SERVICE, seed) for seed in range(100)]
    assert sum(given_up for given_up, _ in found) <= 1


@pytest.mark.parametrize(("at", "seconds"), [(20, 0.5), (100, 0.5), (100, 1.0), (400, 2.0)])
def test_what_a_stall_that_is_over_left_behind_is_not_given_up(at: int, seconds: float):
    """At 80 % of the capacity a stall is made up for in four times its length."""

    def stalling():
        usual, served = exponential(SERVICE), count(1)
        return lambda rate, random: seconds if next(served) == at else usual(rate, random)

    found = [overloaded(VirtualBench(stalling()), 0.8 / SERVICE, seed) for seed in range(40)]
    assert sum(given_up for given_up, _ in found) <= 1


def test_a_visit_ends_when_the_backlog_grows():
    worker = Worker(seconds=0.01)
    options = VisitOptions(seconds=60.0, warm_up_seconds=0.25)
    (window,) = visit(worker, REQUESTS, OpenLoad(800), options, threading.Event())
    assert window.overloaded
    assert worker.sent < 2000


def test_recorded_bursts_are_not_given_up():
    gaps = (1.0, *[0.0] * 199)
    with OpenLoop(Worker(seconds=0.0005), REQUESTS, np.cumsum([0.1, *gaps[1:]]), gives_up=False) as load:
        until(lambda: load.is_finished)
    assert not load.overloaded
    assert len(load.replies) == 200


def test_a_recording_that_ends_ends_the_windows():
    load = OpenLoad(100, gaps_seconds=(0.01,) * 50, loop=False)
    options = VisitOptions(windows=3, seconds=0.3, requests=1, warm_up_seconds=0.05)
    windows = visit(Worker(), REQUESTS, load, options, threading.Event())
    assert 1 <= len(windows) <= 3
    assert sum(len(window.latencies_ms) for window in windows) <= 50


def test_all_who_come_in_a_stall_wait_for_its_end():
    """Frozen for D in a run of T at rate r: r D requests are slow, evenly from 0 to D, the mean grows by D²/2T, and p99 is D - T/100."""
    rate, requests = 250, 500
    worker = Worker(freeze_at=100, freeze_seconds=0.4)
    moments = [moment for moment, _ in zip(endless(rate, Distribution.CONSTANT), range(requests), strict=False)]
    with OpenLoop(worker, REQUESTS, moments) as load:
        until(lambda: load.is_finished)
    begin, end = worker.frozen_ns
    frozen, whole = (end - begin) / 1e9, requests / rate
    due = np.array([reply.at_ns - reply.latency_ns for reply in load.replies])
    seconds = np.array([reply.latency_ns for reply in load.replies]) / 1e9
    inside = (due > begin) & (due < end)
    assert not load.overloaded
    # Whatever else holds this machine up only makes latencies longer: what theory says is the least.
    assert inside.sum() == pytest.approx(rate * frozen, abs=2)
    assert (seconds[inside] >= (end - due[inside]) / 1e9).all()
    assert seconds.mean() > 0.95 * frozen**2 / (2 * whole)
    assert np.percentile(seconds, 99) > 0.95 * (frozen - whole / 100)


def test_callers_who_wait_hide_it():
    """As many slow requests as there are callers, in the same stall."""
    worker = Worker(seconds=0.002, freeze_at=50, freeze_seconds=0.4)
    with ClosedLoop(worker, REQUESTS, 2) as load:
        until(lambda: len(load.replies) > 150)
    begin, end = worker.frozen_ns
    assert (
        sum(
            reply.at_ns - reply.latency_ns < begin + (end - begin) / 10 and reply.at_ns >= end for reply in load.replies
        )
        == 2
    )


@pytest.mark.parametrize(("utilisation", "times"), [(0.5, 12), (0.7, 37), (0.8, 90), (0.9, 380), (0.95, 1560)])
def test_queues_forget_the_slower_the_busier(utilisation: float, times: float):
    pace = Pace(capacity=1 / SERVICE, service_seconds=SERVICE)
    assert pace.relaxation_seconds(utilisation / SERVICE) / SERVICE == pytest.approx(times, rel=0.03)


def test_a_busy_queue_is_watched_for_longer():
    pace = Pace(capacity=200, service_seconds=SERVICE)
    easy = open_options(100, 1000, 10, 60, pace)
    assert (easy.seconds, easy.warm_up_seconds) == (10, 0.25)
    busy = open_options(180, 1000, 10, 60, pace)
    assert busy.seconds == pytest.approx(19, rel=0.02)
    assert busy.warm_up_seconds == pytest.approx(5.7, rel=0.02)
    assert open_options(199, 1000, 10, 30, pace).seconds == 30
