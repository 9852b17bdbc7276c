"""The scheduler with real threads: batches and wake-ups, order, statistics, instances."""

import itertools
import threading
import time

import pytest

from scheduled import (
    BATCHING,
    Answers,
    Doubling,
    PutOff,
    finish,
    held,
    request,
    scheduler,
    submit_all,
    taken_at_once,
    waiting_for,
)
from tcli_server.backends import Placement
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.sharing import Sharing
from waiting import until


def test_what_arrives_while_the_instance_runs_is_its_next_batch():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler(BATCHING, instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(value) for value in range(1, 11)], answers)
    assert batcher.pending == 10
    finish(instance)
    got = {float(response.id): response.outputs["Y"].tolist() for response in answers.wait(11)}
    assert got == {value: [[2 * value]] for value in range(11)}
    assert instance.batches == [1, 8, 2]
    assert batcher.pending == 0


def test_without_dynamic_batching_every_request_runs_alone():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler("max_batch_size: 8", instance)
    submit_all(batcher, [request(), request(batch_size=5), request()], answers)
    finish(instance)
    answers.wait(3)
    assert instance.batches == [1, 5, 1]


def test_the_last_request_of_a_preferred_batch_ends_the_wait():
    instance, answers = Doubling(), Answers()
    batcher = scheduler(waiting_for(3), instance)
    submit_all(batcher, [request(), request()], answers)
    assert not instance.entered.acquire(timeout=0.05)
    submit_all(batcher, [request()], answers)
    answers.wait(3)
    assert instance.batches == [3]


def test_the_delay_ends_the_wait_and_is_in_microseconds():
    """An hour as nanoseconds would be over at once, 20 ms as milliseconds not before the test is."""
    instance, answers = Doubling(), Answers()
    batcher = scheduler(waiting_for(8, delay_us=20_000), instance)
    start = time.monotonic()
    submit_all(batcher, [request(), request()], answers)
    answers.wait(2)
    assert 0.02 <= time.monotonic() - start < 15
    assert instance.batches == [2]


def test_a_ready_batch_never_waits_while_a_worker_is_free():
    """Two workers, each of which finds a batch worth waiting for: the one that is completed must run at once."""
    first, second, answers = Doubling(), Doubling(), Answers()
    held(first, second)
    batcher = scheduler(waiting_for(2), first, second)
    submit_all(batcher, [request(value) for value in range(4)], answers)
    for instance in (first, second):
        assert instance.entered.acquire(timeout=60)
    assert (first.batches, second.batches) == ([2], [2])
    submit_all(batcher, [request(4)], answers)  # nobody is free
    finish(first, second)
    answers.wait(4)
    submit_all(batcher, [request(5)], answers)
    answers.wait(6)
    assert sorted(first.batches + second.batches) == [2, 2, 2]


def test_what_one_batch_leaves_goes_to_the_next_idle_instance_at_once():
    """The second arrival completes a batch of its own as well as the first one's."""
    first, second, answers = Doubling(), Doubling(), Answers()
    held(first, second)
    batcher = scheduler(waiting_for(3), first, second)
    until(lambda: len(batcher._parked) == 2)
    submit_all(batcher, [request(0)], answers)
    until(lambda: batcher._leader is not None)
    submit_all(batcher, [request(1, batch_size=3)], answers)
    for instance in (first, second):
        assert instance.entered.acquire(timeout=20)
    assert sorted(first.batches + second.batches) == [1, 3]
    finish(first, second)
    answers.wait(2)


def test_another_shape_ends_the_wait():
    instance, answers = Doubling(), Answers()
    batcher = scheduler(waiting_for(8), instance)
    submit_all(batcher, [request(0)], answers)
    until(lambda: batcher._leader is not None)
    submit_all(batcher, [request(1, width=2)], answers)
    assert answers.wait(1)[0].id == "0"
    assert batcher.pending == 1


GAP = "preferred_batch_size: 6"


@pytest.mark.parametrize("ends", ["cancelled", "expired"])
def test_what_is_left_when_another_goes_may_be_a_batch(ends: str):
    """Sizes 2 and 6 are worth waiting for and 3 is not: without the first of the two requests the second is due."""
    instance, answers = Doubling(), Answers()
    policy = "default_queue_policy { default_timeout_microseconds: 3600000000 allow_timeout_override: true }"
    batcher = scheduler(waiting_for(2, more=f"{GAP} {policy}"), instance)
    goes = request(0, timeout_us=100_000 if ends == "expired" else 0)
    submit_all(batcher, [goes], answers)
    until(lambda: batcher._leader is not None)
    submit_all(batcher, [request(1, batch_size=2)], answers)
    if ends == "cancelled":
        goes.cancel()
    assert [response.id for response in answers.wait(2)] == ["0", "1"]
    assert instance.batches == [2]


@pytest.mark.parametrize(("gpu", "batches"), [(None, [2, 2]), (0, [4])], ids=["cpu", "gpu"])
def test_idle_instances_of_one_processor_divide_what_is_queued(gpu: int | None, batches: list[int]):
    instances, answers, later = (Doubling(), Doubling()), Answers(), PutOff()
    held(*instances)
    batcher = scheduler(BATCHING, *instances, gpu=gpu)
    until(lambda: len(batcher._parked) == 2)
    for value in range(4):
        made = request(value)
        made.reply = answers
        assert batcher.submit(made, later)
    later[0]()
    for _ in batches:
        until(lambda: instances[0].entered.acquire(blocking=False) or instances[1].entered.acquire(blocking=False))
    assert instances[0].batches + instances[1].batches == batches
    finish(*instances)
    answers.wait(4)


def test_waking_can_be_put_off():
    instance, answers, later = Doubling(), Answers(), PutOff()
    batcher = scheduler(BATCHING, instance)
    until(lambda: len(batcher._parked) == 1)
    for value in range(3):
        made = request(value)
        made.reply = answers
        assert batcher.submit(made, later)
    assert batcher.pending == 3
    assert len(later) == 3
    for wake in later:
        wake()
    answers.wait(3)
    assert instance.batches == [3]
    later[0]()  # nothing waits any more
    submit_all(batcher, [request(3)], answers)
    answers.wait(4)


SIZES = (1, 2, 3)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("arrivals", list(itertools.product(SIZES, repeat=4)), ids=str)
def test_no_wake_up_is_lost_whatever_arrives(workers: int, arrivals: tuple[int, ...]):
    """Every sequence of arrivals, each once the one before has settled: what Triton's rule would send goes at once."""
    instances = [Doubling() for _ in range(workers)]
    answers = Answers()
    batcher = scheduler(waiting_for(3), *instances)
    queued: list[int] = []
    answered = 0
    for size in arrivals:
        queued.append(size)
        submit_all(batcher, [request(batch_size=size)], answers)
        answered += taken_at_once(queued)
        answers.wait(answered)
        assert batcher.pending == len(queued)
    batcher.stop()
    assert batcher.join(60)
    assert len(answers.responses) == len(arrivals)
    assert all(instance.closed.is_set() for instance in instances)


def test_free_cpu_instances_share_what_is_queued_and_gpus_take_it_all():
    cpus = Sharing([Placement("a", None, 1), Placement("b", None, 1), Placement("c", None, 1)])
    assert [cpus.limit(8, queued, 0) for queued in (1, 3, 4, 7, 100)] == [1, 1, 2, 3, 8]
    assert [cpus.limit(8, 6, busy) for busy in (1, 2, 3)] == [3, 8, 8]
    gpus = Sharing([Placement("a", 0, 1), Placement("b", 0, 1)])
    assert gpus.limit(8, 4, 0) == 8


def test_different_shapes_never_share_a_batch_and_keep_their_order():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler(BATCHING, instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(1, width=1), request(2, width=2), request(3, width=2), request(4, width=1)], answers)
    finish(instance)
    answers.wait(5)
    assert instance.values == [[0], [1], [2, 3], [4]]


# --- order, statistics, instances ---


def test_responses_leave_in_the_order_in_which_their_requests_came():
    first, second, answers = Doubling(), Doubling(), Answers()
    held(first, second)
    batcher = scheduler("max_batch_size: 1 dynamic_batching { preserve_ordering: true }", first, second)
    submit_all(batcher, [request(0), request(1)], answers)
    for instance in (first, second):
        assert instance.entered.acquire(timeout=60)
    later = first if first.values == [[1.0]] else second
    finish(later)
    assert not answers.responses
    finish(first, second)
    assert [response.id for response in answers.wait(2)] == ["0", "1"]


def test_each_request_is_charged_its_batchs_times_and_each_execution_counts_once():
    instance, answers, statistics = Doubling(), Answers(), InferenceStatistics()
    held(instance)
    batcher = scheduler(BATCHING, instance, statistics=statistics)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(value, batch_size=2, observer=statistics) for value in range(1, 4)], answers)
    finish(instance)
    answers.wait(4)
    six = statistics.batches[6]
    assert (statistics.success_count, statistics.inference_count, six.count) == (3, 6, 1)
    assert statistics.compute_input_ns == 3 * six.input_ns
    assert statistics.compute_infer_ns == 3 * six.infer_ns
    assert statistics.compute_output_ns == 3 * six.output_ns
    assert statistics.execution_count == 2
    assert statistics.queue_ns > 0


def test_resizing_keeps_what_stays_closes_what_goes_and_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_server.scheduling.batcher._LONGEST_FAREWELL_SECS", 0.1)  # it cannot go sooner
    staying, going, coming, answers = Doubling(), Doubling(), Doubling(), Answers()
    held(staying, going)
    batcher = scheduler("max_batch_size: 1", staying, going)
    submit_all(batcher, [request(0), request(1)], answers)
    for instance in (staying, going):
        assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(value) for value in range(2, 6)], answers)
    placed = {id(worker.placed.instance): worker.placed for worker in batcher._workers}
    batcher.resize([placed[id(staying)], PlacedInstance(Placement("new", None, 1), coming)])
    answers.wait(4)
    assert len(coming.batches) == 4
    finish(going)
    assert going.closed.wait(60)
    assert len(going.batches) == 1
    finish(staying)
    answers.wait(6)
    assert not staying.closed.is_set()
    batcher.stop()
    assert batcher.join(60)


def test_the_threads_of_a_stopped_scheduler_are_gone():
    before = threading.active_count()
    policy = "default_queue_policy { default_timeout_microseconds: 3600000000 }"
    batcher = scheduler(f"max_batch_size: 4 dynamic_batching {{ {policy} }}", Doubling(), Doubling())
    submit_all(batcher, [request()], answers := Answers())
    answers.wait(1)
    batcher.stop()
    assert batcher.join(60)
    assert threading.active_count() == before
