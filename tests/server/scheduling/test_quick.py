"""Batches that are sure to be quick run in the thread that brings their requests; nothing else does, and nothing is lost."""

import gc
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import numpy as np
import pytest

from scheduled import BATCHING, Answers, Doubling, PutOff, request, scheduler, submit_all, taken_at_once, waiting_for
from tcli_server.backends import Placement
from tcli_server.errors import InternalError
from tcli_server.request import InferenceRequest
from tcli_server.scheduling import PlacedInstance, Scheduler, quickness
from waiting import until

FIXED = """
name: "m"
input { name: "X" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }
"""


class Watched(Doubling):
    """Remembers which thread ran each batch."""

    def __init__(self, run: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = None) -> None:
        super().__init__(run)
        self.threads: list[int] = []

    def run(self, inputs: Mapping[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
        self.threads.append(threading.get_ident())
        return super().run(inputs, outputs)

    @property
    def here(self) -> list[bool]:
        """For each batch, whether this thread ran it."""
        return [thread == threading.get_ident() for thread in self.threads]


def idle(batcher: Scheduler, workers: int = 1) -> None:
    until(lambda: len(batcher._parked) == workers and batcher.idle)


def bring(batcher: Scheduler, answers: Answers, *requests: InferenceRequest) -> None:
    """Submit together, as an event loop does."""
    later = PutOff()
    for made in requests:
        made.reply = answers
        assert batcher.submit(made, later)
    for callback in later:
        callback()


def warmed(instance: Watched, more: str = BATCHING) -> tuple[Scheduler, Answers]:
    """A scheduler that has seen its instance run a batch of 1."""
    batcher, answers = scheduler(more, instance, config=FIXED), Answers()
    idle(batcher)
    until(lambda: _run_once(batcher, answers) and batcher._workers[0].quick_limit >= 2)
    idle(batcher)
    instance.threads.clear()
    instance.batches.clear()
    answers.responses.clear()
    return batcher, answers


def _run_once(batcher: Scheduler, answers: Answers) -> bool:
    count = len(answers.responses)
    submit_all(batcher, [request()], answers)
    return len(answers.wait(count + 1)) > 0


def spin(milliseconds: float) -> None:
    """Use processor time."""
    end = time.thread_time() + milliseconds / 1e3
    while time.thread_time() < end:
        pass


def test_a_quick_batch_is_answered_before_the_caller_goes_on():
    instance = Watched()
    batcher, answers = warmed(instance)
    bring(batcher, answers, request(3), request(4))
    assert [response.outputs["Y"].tolist() for response in answers.responses] == [[[6]], [[8]]]
    assert (instance.here, instance.batches) == ([True], [2])
    assert batcher.idle


def test_one_quick_batch_after_the_other_is_answered_before_the_caller_goes_on():
    instance = Watched()
    batcher, answers = warmed(instance)

    def two_in_a_row() -> bool:  # a machine that does something else meanwhile may make one of them slow
        for _ in range(2):
            idle(batcher)
            bring(batcher, answers, request())
        answers.wait(len(instance.batches))
        return instance.here[-2:] == [True, True]

    until(two_in_a_row)


def test_the_first_batch_and_one_more_than_twice_as_large_as_any_are_the_workers():
    instance, answers = Watched(), Answers()
    batcher = scheduler(BATCHING, instance, config=FIXED)
    idle(batcher)
    bring(batcher, answers, request())
    answers.wait(1)
    assert instance.here == [False]
    batcher, answers = warmed(instance := Watched())
    bring(batcher, answers, request(batch_size=batcher._workers[0].quick_limit + 1))
    answers.wait(1)
    assert instance.here == [False]


@pytest.mark.parametrize("why", ["values decide", "shapes vary"])
def test_what_may_take_any_time_is_the_workers(why: str):
    instance, answers = Watched(), Answers()
    instance.steady = why != "values decide"
    batcher = scheduler(BATCHING, instance, **({"config": FIXED} if why == "values decide" else {}))
    for count in range(1, 6):
        idle(batcher)
        bring(batcher, answers, request())
        answers.wait(count)
    assert instance.here == [False] * 5


def test_a_batch_that_takes_long_after_all_is_the_last_of_its_size_in_the_callers_thread():
    slow = threading.Event()
    instance = Watched(lambda inputs: (spin(2) if slow.is_set() else None, inputs["X"])[1])
    batcher, answers = warmed(instance)
    slow.set()
    bring(batcher, answers, request())
    assert instance.here == [True]
    bring(batcher, answers, request())
    answers.wait(2)
    assert instance.here == [True, False]


def test_values_that_take_much_longer_are_run_in_the_callers_thread_once_in_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    clock_ns = 10**15
    monkeypatch.setattr(quickness, "time", SimpleNamespace(monotonic_ns=lambda: clock_ns))
    instance = Watched(lambda inputs: (spin(5) if inputs["X"][0, 0] == 9 else None, inputs["X"])[1])
    batcher, answers = warmed(instance)

    def bring_pairs(count: int) -> int:
        """How often one that takes long ran in this thread, of so many that come when the one before was quick."""
        instance.threads.clear()
        for value in [1, 9] * count:
            idle(batcher)
            bring(batcher, answers, request(value))
            until(lambda: batcher.idle)
        return sum(instance.here[1::2])

    until(lambda: bring_pairs(1) == 1)
    clock_ns += 10**9  # once may have been a chance
    until(lambda: bring_pairs(1) == 1)
    assert bring_pairs(5) == 0
    clock_ns += 9 * 10**9
    assert bring_pairs(5) == 0
    clock_ns += 2 * 10**9
    until(lambda: bring_pairs(1) == 1)
    assert bring_pairs(5) == 0


def test_what_pythons_collector_of_garbage_takes_makes_no_batch_slow():
    looked_through = [[] for _ in range(200_000)]
    collecting = threading.Event()
    instance = Watched(lambda inputs: (gc.collect() if collecting.is_set() else None, inputs["X"])[1])
    batcher, answers = warmed(instance)
    collecting.set()

    def three_in_a_row() -> bool:
        for _ in range(3):
            idle(batcher)
            bring(batcher, answers, request())
        answers.wait(len(instance.batches))
        return instance.here[-3:] == [True, True, True]

    until(three_in_a_row)
    del looked_through


def test_a_crowd_of_requests_is_the_workers_however_quick_each_is():
    """If their batch fails, each of them runs alone."""
    batcher, answers = warmed(instance := Watched(), "max_batch_size: 1000 dynamic_batching { }")
    batcher._workers[0]._quickness.limit = 1000
    bring(batcher, answers, *[request() for _ in range(200)])
    assert len(answers.wait(200)) == 200
    assert instance.here == [False]


def test_what_is_large_is_the_workers_however_quick_it_was():
    """It is copied or not, depending on where in a client's message it lies."""
    wide = FIXED.replace("[ 1 ]", f"[ {1 << 20} ]")
    instance, answers = Watched(lambda inputs: inputs["X"][:, :1]), Answers()
    batcher = scheduler(BATCHING, instance, config=wide)
    for count in range(1, 6):
        idle(batcher)
        bring(batcher, answers, request(width=1 << 20))
        answers.wait(count)
    assert instance.here == [False] * 5


def test_what_others_bring_meanwhile_is_run_by_the_worker():
    others, answers_to_others = [request(7), request(8)], Answers()
    instance = Watched(
        lambda inputs: (submit_all(batcher, [others.pop()], answers_to_others) if others else None, inputs["X"])[1]
    )
    pending, others = others, []
    batcher, answers = warmed(instance)
    others += pending
    bring(batcher, answers, request(1))
    assert len(answers.responses) == 1
    answers_to_others.wait(2)
    assert instance.here[0]
    idle(batcher)


@pytest.mark.parametrize("end", ["stop", "retire"])
def test_an_instance_that_ends_meanwhile_is_closed_when_its_batch_is_answered(
    end: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tcli_server.scheduling.batcher._LONGEST_FAREWELL_SECS", 0.1)  # it cannot go sooner

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if ending.is_set():
            if end == "stop":
                batcher.stop()
            else:
                batcher.resize([PlacedInstance(Placement("new", None, 1), Doubling())])
        return inputs["X"]

    ending = threading.Event()
    instance = Watched(run)
    batcher, answers = warmed(instance)
    ending.set()
    bring(batcher, answers, request())
    assert len(answers.responses) == 1
    assert instance.closed.wait(60)
    batcher.stop()
    assert batcher.join(60)


def test_an_instance_that_fails_in_the_callers_thread_fails_only_its_batch():
    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if failing.is_set():
            raise SystemExit("no more")
        return inputs["X"]

    failing = threading.Event()
    batcher, answers = warmed(Watched(run))
    failing.set()
    bring(batcher, answers, request(1))
    assert "no more" in str(answers.responses[0].error)
    failing.clear()
    bring(batcher, answers, request(2))
    assert answers.wait(2)[1].error is None


def test_a_batch_worth_waiting_for_is_waited_for_by_a_worker():
    instance = Watched()
    batcher, answers = warmed(instance, waiting_for(2, delay_us=20_000))
    bring(batcher, answers, request())
    assert instance.batches == []
    answers.wait(1)
    assert instance.here == [False]


def test_one_that_waited_too_long_is_rejected_and_not_run():
    policy = "default_queue_policy { default_timeout_microseconds: 1 }"
    batcher, answers = warmed(instance := Watched(), "max_batch_size: 8 dynamic_batching { }")
    batcher.stop()
    batcher = scheduler(f"max_batch_size: 8 dynamic_batching {{ {policy} }}", instance, config=FIXED)
    idle(batcher)
    batcher._workers[0]._quickness.limit = 8
    later = PutOff()
    late = request()
    late.reply = answers
    assert batcher.submit(late, later)
    end = time.monotonic_ns() + 10_000
    while time.monotonic_ns() < end:
        pass
    for callback in later:
        callback()
    assert str(answers.wait(1)[0].error) == "Request timeout expired"
    assert instance.batches == []


SIZES = (1, 2, 3)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("delay_us", [0, 3_600 * 10**6])
@pytest.mark.parametrize("arrivals", list(itertools.product(SIZES, repeat=4)), ids=str)
def test_no_wake_up_is_lost_whatever_arrives(workers: int, delay_us: int, arrivals: tuple[int, ...]):
    """As for requests that only workers run: each arrival once the one before has settled, and what is due goes at once."""
    instances = [Watched() for _ in range(workers)]
    answers = Answers()
    batcher = scheduler(waiting_for(3, delay_us=delay_us), *instances, config=FIXED)
    until(lambda: len(batcher._parked) == workers)
    for worker in batcher._workers:
        worker._quickness.limit = 4
    queued: list[int] = []
    answered = 0
    for size in arrivals:
        queued.append(size)
        bring(batcher, answers, request(batch_size=size))
        answered += taken_at_once(queued, least=3 if delay_us else 1)
        answers.wait(answered)
        assert batcher.pending == len(queued)
    batcher.stop()
    assert batcher.join(60)
    assert len(answers.responses) == len(arrivals)
    assert all(instance.closed.is_set() for instance in instances)


def test_requests_that_fail_early_do_not_make_a_slow_model_quick():
    """A client could send wrong values, which fail at once, and then a right one, which would hold the loop up."""

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if inputs["X"][0, 0] < 0:
            raise InternalError("no")
        spin(1)
        return inputs["X"]

    instance, answers = Watched(run), Answers()
    batcher = scheduler(BATCHING, instance, config=FIXED)
    for count, value in enumerate([-1, -1, -1, 5, -1, 5], 1):
        idle(batcher)
        bring(batcher, answers, request(value))
        answers.wait(count)
    assert instance.here == [False] * 6


def test_requests_that_have_ended_do_not_make_a_slow_model_quick():
    instance, answers = Watched(lambda inputs: (spin(1), inputs["X"])[1]), Answers()
    batcher = scheduler(BATCHING, instance, config=FIXED)
    for count in range(1, 4):
        idle(batcher)
        gone = request()
        later = PutOff()
        gone.reply = answers
        assert batcher.submit(gone, later)
        assert gone.cancel()
        bring(batcher, answers, request(5))
        answers.wait(2 * count)
    assert not any(instance.here)
