"""The scheduler with real threads: batches, wake-ups, limits, ends."""

import itertools
import threading
import time

import numpy as np
import pytest

from scheduled import Answers, Doubling, request, scheduler, submit_all
from tcli_server.backends import Placement
from tcli_server.errors import ErrorKind
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason, InferenceResponse
from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.sharing import Sharing

HOUR_US = 3_600 * 10**6
BATCHING = "max_batch_size: 8 dynamic_batching { }"


def waiting_for(size: int, limit: int = 8, delay_us: int = HOUR_US, more: str = "") -> str:
    return (
        f"max_batch_size: {limit} dynamic_batching {{ preferred_batch_size: {size} "
        f"max_queue_delay_microseconds: {delay_us} {more} }}"
    )


def held(*instances: Doubling) -> None:
    for instance in instances:
        instance.gate.clear()


def finish(*instances: Doubling) -> None:
    for instance in instances:
        instance.gate.set()


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


SIZES = (1, 2, 3)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("arrivals", list(itertools.product(SIZES, repeat=4)), ids=str)
def test_no_wake_up_is_lost_whatever_arrives(workers: int, arrivals: tuple[int, ...]):
    """Every sequence of arrivals, each once the one before has settled: what Triton's rule would send goes at once.

    A sequential model of the rule: with an hour's delay a batch is due when a prefix is of the preferred size 3, when
    the next request would pass it, or when the queue holds 3 or more.
    """
    instances = [Doubling() for _ in range(workers)]
    answers = Answers()
    batcher = scheduler(waiting_for(3), *instances)
    queued: list[int] = []
    answered = 0
    for size in arrivals:
        queued.append(size)
        submit_all(batcher, [request(batch_size=size)], answers)
        while sum(queued) >= 3:
            taken = 0
            while queued and (not taken or taken + queued[0] <= 3):
                taken += queued.pop(0)
                answered += 1
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


# --- ends ---


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


# --- queue policies ---

PRIORITIES = "priority_levels: 3 default_priority_level: 2"


def test_higher_priorities_go_first_and_share_batches_with_lower_ones():
    instance, answers = Doubling(), Answers()
    held(instance)
    batcher = scheduler(f"max_batch_size: 3 dynamic_batching {{ {PRIORITIES} }}", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    levels = [(1, 3), (2, 0), (3, 1), (4, 9), (5, 1), (6, 2)]
    submit_all(batcher, [request(value, priority=level) for value, level in levels], answers)
    finish(instance)
    answers.wait(7)
    assert instance.values == [[0], [3, 5, 2], [4, 6, 1]]


def test_any_number_of_levels_costs_only_what_is_used():
    instance, answers = Doubling(), Answers()
    held(instance)
    most = 2**64 - 1
    batcher = scheduler(f"dynamic_batching {{ priority_levels: {most} default_priority_level: {most} }}", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(value, priority=10**18 - value) for value in range(1, 2000)], answers)
    submit_all(batcher, [request(3000), request(4000, priority=most)], answers)
    finish(instance)
    answers.wait(2002)
    assert [values[0] for values in instance.values] == [0, *range(1999, 0, -1), 3000, 4000]
    submit_all(batcher, [request(1, priority=5)], answers)
    answers.wait(2003)
    assert len(batcher._queue._lanes) < 100


def test_a_full_level_rejects_at_once_and_others_have_room():
    instance, answers, statistics = Doubling(), Answers(), InferenceStatistics()
    held(instance)
    policies = "priority_queue_policy { key: 1 value { max_queue_size: 2 } } default_queue_policy { max_queue_size: 1 }"
    batcher = scheduler(f"dynamic_batching {{ {PRIORITIES} {policies} }}", instance, statistics=statistics)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    levels = [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)]
    submit_all(batcher, [request(value, priority=level, observer=statistics) for value, level in levels], answers)
    rejected = answers.wait(2)
    assert [(response.id, response.error.kind, str(response.error)) for response in rejected] == [
        ("3", ErrorKind.UNAVAILABLE, "Exceeds maximum queue size"),
        ("5", ErrorKind.UNAVAILABLE, "Exceeds maximum queue size"),
    ]
    assert statistics.failure_count[FailureReason.REJECTED] == 2
    finish(instance)
    answers.wait(7)


def test_what_waited_too_long_is_rejected_while_every_instance_is_busy():
    instance, answers, statistics = Doubling(), Answers(), InferenceStatistics()
    held(instance)
    policy = "default_queue_policy { default_timeout_microseconds: 500000 allow_timeout_override: true }"
    batcher = scheduler(f"max_batch_size: 4 dynamic_batching {{ {policy} }}", instance, statistics=statistics)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    asked = [
        request(1, observer=statistics),
        request(2, timeout_us=1, observer=statistics),
        request(3, timeout_us=HOUR_US),
    ]
    submit_all(batcher, asked, answers)
    rejected = answers.wait(3)
    assert rejected[0].id == "2"
    assert {str(response.error) for response in rejected} == {"Request timeout expired"}
    assert {response.error.kind for response in rejected} == {ErrorKind.UNAVAILABLE}
    assert statistics.failure_count[FailureReason.REJECTED] == 2
    assert batcher.pending == 0
    finish(instance)
    answers.wait(4)


def test_a_request_can_ask_for_less_time_only_where_it_may_and_where_there_is_a_limit():
    for policy in ("default_timeout_microseconds: 3600000000", "allow_timeout_override: true"):
        instance, answers = Doubling(), Answers()
        held(instance)
        batcher = scheduler(f"dynamic_batching {{ default_queue_policy {{ {policy} }} }}", instance)
        submit_all(batcher, [request(0)], answers)
        assert instance.entered.acquire(timeout=60)
        submit_all(batcher, [request(1, timeout_us=1)], answers)
        finish(instance)
        assert [response.error for response in answers.wait(2)] == [None, None]


def test_what_is_delayed_runs_after_all_that_did_not_wait_too_long():
    instance, answers = Doubling(), Answers()
    held(instance)
    policy = "timeout_action: DELAY default_timeout_microseconds: 1000000000 allow_timeout_override: true"
    batcher = scheduler(f"dynamic_batching {{ default_queue_policy {{ {policy} max_queue_size: 3 }} }}", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(1, timeout_us=1), request(2), request(3), request(4)], answers)
    assert answers.wait(1)[0].id == "4"  # what is delayed still has its place in the queue
    finish(instance)
    answers.wait(5)
    assert instance.values == [[0], [2], [3], [1]]


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


def test_resizing_keeps_what_stays_closes_what_goes_and_loses_nothing():
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


# --- the leader's wait, where the queue's order is not that of arrival (found by NVIDIA's L0_model_queue) ---

DELAY = "default_queue_policy { timeout_action: DELAY default_timeout_microseconds: %d allow_timeout_override: true }"


def preferring_4_and_8(more: str) -> str:
    return waiting_for(4, more=f"preferred_batch_size: 8 {more}")


def test_a_priority_completes_a_batch_with_the_first_of_a_lower_one():
    instance, answers = Doubling(), Answers()
    batcher = scheduler(preferring_4_and_8("priority_levels: 2 default_priority_level: 2"), instance)
    submit_all(batcher, [request(1, 2), request(2, 1)], answers)
    submit_all(batcher, [request(3, 2, priority=1)], answers)
    answers.wait(2)
    assert instance.values == [[3, 3, 1, 1]]


def test_what_was_delayed_counts_no_more_for_the_batch_before_it():
    instance, answers = Doubling(), Answers()
    batcher = scheduler(preferring_4_and_8(DELAY % 1000), instance)
    submit_all(batcher, [request(1)], answers)
    while not batcher._queue._lanes[0][1].live:
        time.sleep(0.002)
    submit_all(batcher, [request(2, 2)], answers)
    submit_all(batcher, [request(3, 2)], answers)
    answers.wait(2)
    assert instance.values[0] == [2, 2, 3, 3]


def test_a_request_that_is_delayed_lets_those_behind_it_go():
    instance, answers = Doubling(), Answers()
    batcher = scheduler(preferring_4_and_8(DELAY % HOUR_US), instance)
    submit_all(batcher, [request(1, timeout_us=20_000), request(2, 2), request(3, 2)], answers)
    answers.wait(2)
    assert instance.values[0] == [2, 2, 3, 3]
