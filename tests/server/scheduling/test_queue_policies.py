"""Queue policies with real threads: priorities, limits, timeouts."""

import time

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelDynamicBatching

from scheduled import HOUR_US, Answers, Doubling, finish, held, request, scheduler, submit_all, waiting_for
from tcli_server.errors import ErrorKind
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason
from tcli_server.scheduling.policy import QueuePolicy, read_levels
from waiting import until

PRIORITIES = "priority_levels: 3 default_priority_level: 2"


def test_policies_are_read_as_they_are_written():
    own = "priority_queue_policy { key: 2 value { timeout_action: DELAY default_timeout_microseconds: 3 } }"
    rest = "default_queue_policy { max_queue_size: 7 default_timeout_microseconds: 5 allow_timeout_override: true }"
    levels = read_levels(text_format.Parse(f"{PRIORITIES} {own} {rest}", ModelDynamicBatching()))
    assert (levels.count, levels.default) == (3, 2)
    assert levels.policy(2) == QueuePolicy(0, 3_000, delays=True, may_override=False)
    assert levels.policy(1) == levels.policy(3) == QueuePolicy(7, 5_000, delays=False, may_override=True)
    assert [levels.of(request(priority=level)) for level in (0, 1, 2, 3, 4)] == [2, 1, 2, 3, 2]
    asked = [levels.policy(1).deadline_ns(request(timeout_us=time_us), 100) for time_us in (0, 1, 4, 5, 6)]
    assert asked == [5_100, 1_100, 4_100, 5_100, 5_100]
    assert levels.policy(2).deadline_ns(request(timeout_us=1), 100) == 3_100
    assert QueuePolicy(may_override=True).deadline_ns(request(timeout_us=1), 100) == 0


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
    assert len(batcher._queue._lanes) < 200


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
    policy = "default_queue_policy { default_timeout_microseconds: 20000 allow_timeout_override: true }"
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
    until(lambda: batcher.idle)


def test_a_nearer_deadline_is_kept_although_a_farther_one_is_waited_for():
    instance, answers = Doubling(), Answers()
    held(instance)
    policy = "default_queue_policy { default_timeout_microseconds: 3600000000 allow_timeout_override: true }"
    batcher = scheduler(f"max_batch_size: 4 dynamic_batching {{ {policy} }}", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(1)], answers)
    start, used = time.monotonic(), time.process_time()
    until(lambda: time.monotonic() - start > 0.3)
    assert time.process_time() - used < 0.25, "waiting costs no processor time"
    submit_all(batcher, [request(2, timeout_us=1)], answers)
    assert answers.wait(1)[0].id == "2"
    finish(instance)
    assert [response.error for response in answers.wait(3)[1:]] == [None, None]


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
    submit_all(batcher, [request(1, timeout_us=1)], answers)
    until(lambda: batcher._queue._lanes[0][1].live == 1)
    submit_all(batcher, [request(2), request(3), request(4)], answers)
    assert answers.wait(1)[0].id == "4"  # what is delayed still has its place in the queue
    assert batcher.pending == 3
    finish(instance)
    answers.wait(5)
    assert instance.values == [[0], [2], [3], [1]]


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
    until(lambda: batcher._queue._lanes[0][1].live == 1)
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


def test_a_nearer_deadline_is_noticed_while_a_far_one_is_waited_for():
    instance, answers = Doubling(), Answers()
    held(instance)
    policy = f"default_queue_policy {{ default_timeout_microseconds: {HOUR_US} allow_timeout_override: true }}"
    batcher = scheduler(f"max_batch_size: 4 dynamic_batching {{ {policy} }}", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(1)], answers)  # the watch waits for an hour now
    submit_all(batcher, [request(2, timeout_us=50_000)], answers)
    assert answers.wait(1)[0].id == "2"
    assert str(answers.responses[0].error) == "Request timeout expired"
    finish(instance)
    answers.wait(3)
