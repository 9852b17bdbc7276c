"""How requests and instances of a scheduler end: answered, cancelled, failed, stopped."""

import logging
import random
import threading
import time

import numpy as np
import pytest

from scheduled import (
    BATCHING,
    CONFIG,
    Answers,
    Doubling,
    finish,
    held,
    request,
    scheduler,
    submit_all,
    waiting_for,
)
from tcli_server.errors import ErrorKind, UnavailableError
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason, InferenceRequest, InferenceResponse
from waiting import until


def test_a_request_that_is_cancelled_in_the_queue_never_runs():
    instance, answers, statistics = Doubling(), Answers(), InferenceStatistics()
    held(instance)
    batcher = scheduler(BATCHING, instance, statistics=statistics)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    waiting = [request(value, observer=statistics) for value in range(1, 5)]
    submit_all(batcher, waiting, answers)
    assert waiting[1].cancel()
    assert waiting[2].cancel(only_waiting=True)
    assert not waiting[1].cancel()
    assert batcher.pending == 2
    finish(instance)
    answers.wait(5)
    assert instance.values == [[0], [1, 4]]
    errors = {response.id: response.error.kind for response in answers.responses if response.error}
    assert errors == {"2": ErrorKind.CANCELLED, "3": ErrorKind.CANCELLED}
    assert statistics.failure_count[FailureReason.CANCELED] == 2
    assert statistics.success_count == 2


def test_a_request_that_runs_is_left_alone_by_whoever_only_cancels_what_waits():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler(BATCHING, instance)
    running = request(1)
    submit_all(batcher, [running], answers)
    assert instance.entered.acquire(timeout=60)
    assert not running.cancel(only_waiting=True)
    finish(instance)
    assert answers.wait(1)[0].error is None


def test_a_request_that_is_cancelled_while_it_runs_ends_at_once_and_only_once():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler(BATCHING, instance)
    running = request(1)
    submit_all(batcher, [running], answers)
    assert instance.entered.acquire(timeout=60)
    assert running.cancel()
    assert answers.wait(1)[0].error.kind is ErrorKind.CANCELLED
    finish(instance)
    submit_all(batcher, [request(2)], answers)
    assert [response.id for response in answers.wait(2)] == ["1", "2"]


def test_cancelling_what_completes_a_batch_and_what_stands_before_one():
    instance, answers = Doubling(), Answers()
    batcher = scheduler(waiting_for(4), instance)
    wide = request(1, batch_size=3)
    submit_all(batcher, [wide], answers)
    wide.cancel()
    submit_all(batcher, [request(value, batch_size=2) for value in (2, 3)], answers)
    answers.wait(3)
    assert instance.batches == [4]


def test_thousands_that_give_up_leave_nothing_in_the_queue():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler(BATCHING + "version_policy { all { } }", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    for value in range(5000):
        item = request(value)
        submit_all(batcher, [item], answers)
        item.cancel()
    assert batcher.pending == 0
    assert sum(len(lane.entries) for lanes in batcher._queue._lanes.values() for lane in lanes) < 200
    finish(instance)
    until(lambda: batcher.idle)
    answers.wait(5001)
    submit_all(batcher, [request(9)], answers)
    assert answers.wait(5002)[-1].error is None
    until(lambda: batcher.idle)


def test_thousands_with_a_deadline_that_give_up_leave_nothing_either():
    instance, answers = Doubling(), Answers()
    held(instance)
    policy = "default_queue_policy { default_timeout_microseconds: 3600000000 allow_timeout_override: true }"
    batcher = scheduler(f"max_batch_size: 8 dynamic_batching {{ {policy} }}", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    times = random.Random(5).sample(range(10**9, 3 * 10**9), 699)
    staying = [request(value, timeout_us=times.pop()) for value in (1, 2, 3)]
    submit_all(batcher, staying, answers)
    waiting = [request(value, timeout_us=times.pop()) for value in range(4, 700)]
    submit_all(batcher, waiting, answers)
    for item in waiting:
        item.cancel()
        deadlines = [entry[0] for entry in batcher._queue._deadlines]
        for index, deadline in enumerate(deadlines[1:], 1):  # a heap, so what is due first is seen first
            assert deadlines[(index - 1) // 2] <= deadline
    assert batcher.pending == 3
    assert len(deadlines) < 200
    finish(instance)
    answers.wait(700)
    assert instance.values == [[0], [1, 2, 3]]


def test_what_ended_before_it_came_never_waits():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler(BATCHING, instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    late = request(1)
    late.cancel()
    assert batcher.submit(late)
    assert batcher.pending == 0
    finish(instance)
    submit_all(batcher, [request(2)], answers)
    answers.wait(2)
    assert instance.values == [[0], [2]]


def test_a_reply_that_raises_harms_nobody():
    instance, answers = Doubling(), Answers()
    batcher = scheduler("max_batch_size: 8 dynamic_batching { preserve_ordering: true }", instance, Doubling())

    def bad(_: InferenceResponse) -> None:
        raise RuntimeError("the caller's own mistake")

    failing = [request(value) for value in range(3)]
    for item in failing:
        item.reply = bad
        assert batcher.submit(item)
    submit_all(batcher, [request(value) for value in range(3, 6)], answers)
    assert [response.error for response in answers.wait(3)] == [None] * 3
    batcher.stop()
    assert batcher.join(60)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_whatever_a_backend_raises_its_thread_goes_on(error: BaseException):
    class Raising(Doubling):
        def run(self, inputs: dict, outputs: list) -> list:
            if inputs["X"][0, 0] < 0:
                raise error
            return super().run(inputs, outputs)

    answers = Answers()
    batcher = scheduler(BATCHING, Raising())
    submit_all(batcher, [request(-1)], answers)
    assert type(error).__name__ in str(answers.wait(1)[0].error)
    submit_all(batcher, [request(1)], answers)
    assert answers.wait(2)[1].error is None


def test_one_bad_request_fails_alone():
    """Refused before the batch runs, or found out because the batch fails: its neighbours get their answers."""

    def picky(inputs: dict) -> np.ndarray:
        if (inputs["X"] < 0).any():
            raise ValueError("negative")
        return inputs["X"] * 2

    for bad, words in ((float("nan"), "not a number"), (-1.0, "negative")):
        instance, answers = Doubling(picky), Answers()
        held(instance)
        batcher = scheduler(BATCHING, instance)
        submit_all(batcher, [request(100)], answers)
        assert instance.entered.acquire(timeout=60)
        submit_all(batcher, [request(1), request(bad), request(3)], answers)
        finish(instance)
        errors = {response.id: str(response.error) for response in answers.wait(4) if response.error}
        assert errors.keys() == {str(bad)}
        assert words in errors[str(bad)]
        assert errors[str(bad)].startswith(f"[request id: {bad}]")


def test_outputs_that_are_the_inputs_memory_are_the_requests_own():
    """Inputs are joined in memory that the next batch uses again."""
    instance, answers = Doubling(lambda inputs: inputs["X"]), Answers()
    held(instance)
    batcher = scheduler(BATCHING, instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    width = 1 << 17
    submit_all(batcher, [request(value, width=width) for value in range(1, 17)], answers)
    finish(instance)
    for response in answers.wait(17)[1:]:
        assert (response.outputs["Y"] == float(response.id)).all()
    assert instance.batches == [1, 8, 8]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_model_that_loses_its_batch_dimension_is_told_so_alone_and_in_a_batch(batch: int):
    instance, answers = Doubling(lambda inputs: inputs["X"].sum(axis=0)), Answers()
    batcher = scheduler("max_batch_size: 8", instance)
    submit_all(batcher, [request(1, batch_size=batch, width=5)], answers)
    assert "does not keep the batch dimension" in str(answers.wait(1)[0].error)


RESHAPED = CONFIG.replace("dims: [ -1 ]", "dims: [ 4 ] reshape { shape: [ 2, 2 ] }")


@pytest.mark.parametrize(("config", "shape", "inner"), [
    (RESHAPED + "max_batch_size: 8", (3, 4), (3, 2, 2)),
    (RESHAPED, (4,), (2, 2)),
], ids=["batches", "no batches"])  # fmt: skip
def test_the_model_gets_and_gives_its_own_shapes_and_clients_theirs(config: str, shape: tuple, inner: tuple):
    def run(inputs: dict) -> np.ndarray:
        assert inputs["X"].shape == inner
        return inputs["X"] * 2

    answers, values = Answers(), np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    batcher = scheduler("", Doubling(run), config=config)
    made = InferenceRequest("m", {"X": values})
    made.batch_size = shape[0] if len(shape) > 1 else 1
    submit_all(batcher, [made], answers)
    (answer,) = answers.wait(1)
    assert answer.error is None
    assert answer.outputs["Y"].tolist() == (values * 2).tolist()


def test_an_output_that_cannot_be_reshaped_is_told_with_its_shape():
    answers = Answers()
    batcher = scheduler("", Doubling(lambda inputs: inputs["X"][:, :1]), config=RESHAPED + "max_batch_size: 8")
    submit_all(batcher, [request(1, batch_size=3, width=4)], answers)
    error = answers.wait(1)[0].error
    assert error.kind is ErrorKind.INVALID_ARG
    assert "output 'Y' of model 'm': the model gave shape [3, 1, 2]" in str(error)
    assert "expects [2, 2] to reshape to [4]" in str(error)


def test_an_instance_that_cannot_be_closed_is_logged_and_the_others_are(caplog: pytest.LogCaptureFixture):
    class Stuck(Doubling):
        def close(self) -> None:
            raise ValueError("stuck")

    other = Doubling()
    batcher = scheduler(BATCHING, Stuck(), other)
    LOG.addHandler(caplog.handler)
    try:
        batcher.stop()
        assert batcher.join(60)
    finally:
        LOG.removeHandler(caplog.handler)
    assert other.closed.is_set()
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "could not be closed" in caplog.text


def test_a_machine_without_more_threads_is_told_and_every_instance_closed(monkeypatch: pytest.MonkeyPatch):
    instances = [Doubling() for _ in range(4)]
    start, started = threading.Thread.start, []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(UnavailableError, match="instance 'm_2': can't start new thread"):
        scheduler(BATCHING, *instances)
    for instance in instances:
        assert instance.closed.wait(20)
    for thread in started:
        thread.join(20)
        assert not thread.is_alive()


def test_stopping_answers_what_is_queued_and_closes_every_instance():
    instances, answers = [Doubling() for _ in range(3)], Answers()
    held(*instances)
    batcher = scheduler(waiting_for(8), *instances)
    submit_all(batcher, [request(value) for value in range(5)], answers)
    batcher.stop()
    refused = request(9)
    assert batcher.submit(refused) is False
    assert not refused.ended
    assert not batcher.join(0.05)
    assert not batcher.idle
    finish(*instances)
    assert batcher.join(60)
    assert batcher.idle
    assert len(answers.responses) == 5
    assert all(instance.closed.is_set() for instance in instances)


def test_idle_workers_stop_at_once():
    instances = [Doubling() for _ in range(4)]
    batcher = scheduler(BATCHING, *instances)
    submit_all(batcher, [request()], answers := Answers())
    answers.wait(1)
    start = time.monotonic()
    batcher.stop()
    assert batcher.join(60)
    assert time.monotonic() - start < 10
