"""Sequences and requests that end while others come and go: nothing of one may reach another, and nobody is held up."""

import threading
import time

import numpy as np
import pytest

from recorded_sequences import Model, Recording
from tcli_server.backends import Placement
from tcli_server.errors import UnavailableError
from tcli_server.request import FailureReason, InferenceRequest
from tcli_server.scheduling import PlacedInstance
from waiting import until

STRATEGIES = {"direct": "", "oldest": "oldest { }"}


class SlowToEnd:
    """Counts nothing, and holds a request back in the middle of its end."""

    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()

    def success(self, request: InferenceRequest, end_ns: int) -> None:
        """As `Observer.success`."""

    def failure(self, request: InferenceRequest, reason: FailureReason, end_ns: int) -> None:  # noqa: ARG002
        """As `Observer.failure`."""
        self.entered.set()
        assert self.gate.wait(60)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_id_that_starts_again_while_its_last_request_runs_goes_on(strategy: str):
    model = Model(STRATEGIES[strategy])
    model.send("a", 1, start=True)
    model.answers.wait(1)
    model.instances[0].gate.clear()
    model.send("a", 2, end=True)
    until(lambda: len(model.batches) == 2)
    model.send("a", 3, start=True)
    model.go_on()
    model.answers.wait(3)
    model.send("a", 4)
    model.send("a", 5, end=True)
    assert [answer.error for answer in model.answers.wait(5)] == [None] * 5
    assert [row for batch in model.batches for row in batch if row[2]] == [
        ("a", True, True, 1), ("a", False, True, 2), ("a", True, True, 3), ("a", False, True, 4), ("a", False, True, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_request_that_is_just_ending_holds_up_nobody(strategy: str):
    """Its end is counted before its place in the queue is given back: a batch may be formed in between."""
    model = Model(STRATEGIES[strategy])
    model.held("a", "b", "c")
    slow = SlowToEnd()
    model.send("a", 5)
    ending = model.send("b", 6)
    ending.observer = slow
    model.send("b", 7)
    canceller = threading.Thread(target=ending.cancel)
    canceller.start()
    assert slow.entered.wait(60)
    model.go_on()
    model.answers.wait(5)  # three starts, the one that held the instance, and a's; b's are not over yet
    model.send("c", 8)
    until(lambda: any(row[0] == "c" and row[3] == 8 for batch in model.batches for row in batch))
    slow.gate.set()
    canceller.join(60)
    until(lambda: model.scheduler.idle)
    assert not any(row[0] == "b" for batch in model.batches for row in batch)
    assert model.scheduler.pending == 0


def test_a_request_alone_that_is_just_ending_keeps_no_core_busy():
    model = Model()
    model.held("a")
    slow = SlowToEnd()
    ending = model.send("a", 6)
    ending.observer = slow
    canceller = threading.Thread(target=ending.cancel)
    canceller.start()
    assert slow.entered.wait(60)
    model.go_on()
    model.answers.wait(2)
    until(lambda: model.scheduler._seats[0].parked)
    slow.gate.set()
    canceller.join(60)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("bad", ["\ud800", "\u00e9" * 65])
def test_an_id_that_cannot_be_told_to_the_model_is_refused_and_stops_nobody(strategy: str, bad: str):
    model = Model(STRATEGIES[strategy])
    with pytest.raises(Exception, match="correlation ID"):
        model.send(bad, start=True)
    model.send("a", start=True)
    assert model.answers.wait(1)[0].error is None


def test_a_batch_whose_first_request_was_refused_runs_once_all_the_same():
    model = Model()
    model.held("a", "b")
    model.send("a", np.nan)
    model.send("b", 2)
    model.instances[0].failing = True
    model.go_on()
    answers = model.answers.wait(5)
    assert len(model.batches) == 1
    errors = {answer.id: str(answer.error) for answer in answers[3:]}
    assert errors["a"].endswith("not a number")
    assert errors["b"].endswith("ValueError: no")


def test_instances_that_went_are_not_kept():
    model = Model()
    for _ in range(20):
        fresh = Recording()
        placed = [PlacedInstance(Placement("m", None, 1), fresh)]
        model.scheduler.resize(placed)
        model.send("a", start=True, end=True)
        assert fresh.entered.acquire(timeout=60)
        model.instances[-1].closed.wait(60)
        model.instances.append(fresh)
        until(lambda: sum(seat.worker.is_alive() for seat in model.scheduler._seats) == 1)
    assert len(model.scheduler._seats) <= 2
    model.scheduler.stop()
    assert model.scheduler.join(60)


def test_a_thread_that_cannot_start_closes_each_new_instance_once(monkeypatch: pytest.MonkeyPatch):
    model = Model()
    fresh = [Recording() for _ in range(3)]
    closed: list[Recording] = []
    for each in fresh:
        each.close = lambda each=each: closed.append(each)
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == 2:
            started[0].join(0.2)  # the first may be through before anybody looks
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(UnavailableError, match="can't start new thread"):
        model.scheduler.resize([PlacedInstance(Placement("m", None, 1), each) for each in fresh])
    monkeypatch.undo()
    until(lambda: len(closed) == 3)
    model.send("a", start=True)
    assert model.answers.wait(1)[0].error is None
    assert not model.instances[0].closed.is_set()
    model.scheduler.stop()
    assert model.scheduler.join(60)
    assert sorted(map(fresh.index, closed)) == [0, 1, 2]


def test_an_idle_sequence_ends_in_time_whatever_timeouts_others_have():
    model = Model(idle_us=50_000)
    model.held("a")
    model.send("a", end=True)
    for name in "bcd":
        model.send(name, start=True, end=True)
    model.send("e", start=True, timeout_us=3_600_000_000)  # waits for a slot, and then rests
    model.go_on()
    model.answers.wait(7)
    until(lambda: not model.scheduler._runs)


def test_looking_for_idle_sequences_costs_nothing_for_those_that_wait():
    """20,000 of them, of which none is idle: nobody may be held up meanwhile."""
    model = Model(idle_us=1000)
    model.held("a", "b", "c", "d")
    for number in range(20_000):
        model.send(f"w{number}", start=True)
    began = time.thread_time()
    for _ in range(20):
        model.scheduler._expire()
    assert time.thread_time() - began < 0.5
    model.go_on()
