"""Requests by a schedule: what a stall of the server does to them, and when a rate is too high."""

import queue
import threading
from time import perf_counter_ns

import numpy as np
import pytest

from tcli_analyzer.arrivals import Distribution, recorded, schedule
from tcli_analyzer.load import open as open_load
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.load.open import OpenLoop
from tcli_analyzer.target import Counters
from tcli_server.errors import InternalError
from waiting import until

REQUESTS = [{"x": np.zeros(1, np.float32)}]


class Gate:
    """A target that answers at once while it is open, and not at all while it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.sent = 0
        self._waiting: queue.Queue = queue.Queue()
        threading.Thread(target=self._answer, daemon=True).start()

    def submit(self, _: object, reply) -> None:
        self.sent += 1
        self._waiting.put(reply)

    def counters(self) -> Counters:
        return Counters()

    def _answer(self) -> None:
        while True:
            reply = self._waiting.get()
            self.open.wait()
            reply(None)


def test_a_stall_is_seen_by_all_who_would_have_come_meanwhile():
    gate = Gate()
    moments = schedule(500, 60, Distribution.CONSTANT)
    with OpenLoop(gate, REQUESTS, moments) as load:
        until(lambda: len(load.replies) > 50)
        gate.open.clear()
        closed_ns, before = perf_counter_ns(), gate.sent
        until(lambda: gate.sent > before + 100)
        stall_ns = perf_counter_ns() - closed_ns
        gate.open.set()
        until(lambda: len(load.replies) > before + 150)
    slow = [reply for reply in load.replies if reply.latency_ns > stall_ns / 10]
    assert len(slow) >= 80  # nine tenths of those that came while it was closed
    assert max(reply.latency_ns for reply in load.replies) >= 0.9 * stall_ns
    assert load.error is None
    assert not load.overloaded
    assert len(load.replies) == gate.sent == len(load.lateness_ns)


def test_a_closed_loop_shows_as_many_slow_requests_as_it_has_callers():
    gate = Gate()
    with ClosedLoop(gate, REQUESTS, 2) as load:
        until(lambda: len(load.replies) > 50)
        gate.open.clear()
        until(lambda: gate.sent - len(load.replies) == 2)
        threading.Event().wait(0.2)  # how long the stall lasts
        opened_ns = perf_counter_ns()
        gate.open.set()
        after = len(load.replies)
        until(lambda: len(load.replies) > after + 50)
    during = [reply for reply in load.replies if reply.at_ns - reply.latency_ns < opened_ns <= reply.at_ns]
    assert sum(reply.latency_ns > 150_000_000 for reply in during) == 2


def test_latencies_count_from_when_a_request_was_due():
    """All are due at once, and the sender needs its time to send them."""
    gate = Gate()
    with OpenLoop(gate, REQUESTS, np.zeros(200)) as load:
        until(lambda: len(load.replies) == 200)
    assert all(reply.latency_ns >= reply.service_ns for reply in load.replies)
    assert max(load.lateness_ns) > min(load.lateness_ns) >= 0
    assert load.is_over


def test_a_rate_that_is_too_high_is_given_up(monkeypatch):
    monkeypatch.setattr(open_load, "MOST_OUTSTANDING", 50)
    gate = Gate()
    gate.open.clear()
    with OpenLoop(gate, REQUESTS, np.zeros(10_000)) as load:
        until(lambda: load.is_over)
        gate.open.set()
    assert load.overloaded
    assert gate.sent == 51


def test_a_refused_request_ends_the_load():
    class Refusing(Gate):
        def submit(self, *_: object) -> None:
            raise InternalError("no")

    with OpenLoop(Refusing(), REQUESTS, np.zeros(100)) as load:
        until(lambda: load.is_over)
    assert str(load.error) == "no"
    assert not load.replies


def test_leaving_early_sends_no_more():
    gate = Gate()
    with OpenLoop(gate, REQUESTS, schedule(100, 3600, seed=1)) as load:
        until(lambda: len(load.replies) > 3)
    assert len(load.replies) == gate.sent < 1000


@pytest.mark.parametrize("distribution", list(Distribution))
def test_a_schedule_has_its_rate(distribution: Distribution):
    moments = schedule(100, 100, distribution, seed=7)
    assert len(moments) == pytest.approx(10_000, rel=0.05)
    assert (np.diff(moments) >= 0).all()
    assert moments[-1] < 100
    spread = np.diff(moments).std() * 100
    assert spread == pytest.approx(1 if distribution is Distribution.POISSON else 0, abs=0.05)


def test_recorded_gaps_begin_again_and_can_be_faster():
    assert recorded([0.1, 0.3], 1.0) == pytest.approx([0.1, 0.4, 0.5, 0.8, 0.9])
    assert recorded([0.1, 0.3], 0.5, speed=2) == pytest.approx(np.array([0.1, 0.4, 0.5, 0.8, 0.9]) / 2)
    for gaps in ([], [0.0, 0.0], [1.0, -1.0], [float("nan")]):
        with pytest.raises(ValueError, match="gaps"):
            recorded(gaps, 1.0)
