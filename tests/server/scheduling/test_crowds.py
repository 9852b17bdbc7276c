"""Queues that clients drive to extremes: arrivals in front, a level for each request, timeouts of ages."""

import time

from scheduled import Answers, Doubling, request, scheduler, submit_all

HOUR_US = 3_600 * 10**6


def test_what_comes_in_front_can_complete_a_batch_too():
    """3 wait for a batch of 6; 2 of a higher priority are a batch of a preferred size, and the 3 wait on."""
    instance, answers = Doubling(), Answers()
    priorities = f"""preferred_batch_size: [ 2, 6 ] max_queue_delay_microseconds: {HOUR_US}
        priority_levels: 2 default_priority_level: 2"""
    batcher = scheduler(f"max_batch_size: 8 dynamic_batching {{ {priorities} }}", instance)
    submit_all(batcher, [request(1, batch_size=3)], answers)
    assert not instance.entered.acquire(timeout=0.05)
    submit_all(batcher, [request(2, batch_size=2, priority=1)], answers)
    assert [response.id for response in answers.wait(1)] == ["2"]
    assert (instance.batches, batcher.pending) == ([2], 1)
    batcher.stop()
    assert batcher.join(60)


def test_a_crowd_of_priority_levels_costs_no_more_than_one():
    """Requests that each have a level of their own, best priority last: a sort for each would take minutes."""
    instance, answers = Doubling(), Answers()
    instance.gate.clear()
    count = 10_000
    levels = f"priority_levels: {2**40} default_priority_level: 1"
    batcher = scheduler(f"max_batch_size: 100 dynamic_batching {{ {levels} }}", instance)
    submit_all(batcher, [request(0, priority=2**40)], answers)
    assert instance.entered.acquire(timeout=60)
    start = time.monotonic()
    asked = [request(value, priority=2**40 - value) for value in range(1, count + 1)]
    submit_all(batcher, asked, answers)
    for item in asked[::2]:
        item.cancel()
    assert batcher.pending == count // 2
    assert time.monotonic() - start < 10
    instance.gate.set()
    answers.wait(count + 1)
    ran = [value for batch in instance.values[1:] for value in batch]
    assert ran == list(range(count, 0, -2))
    assert instance.batches == [1] + [100] * (count // 200)


def test_a_timeout_of_ages_leaves_shorter_ones_alone():
    instance, answers = Doubling(), Answers()
    instance.gate.clear()
    policy = f"default_timeout_microseconds: {2**64 - 1} allow_timeout_override: true"
    batcher = scheduler(f"dynamic_batching {{ default_queue_policy {{ {policy} }} }}", instance)
    submit_all(batcher, [request(0)], answers)
    assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(1), request(2, timeout_us=1000)], answers)
    assert [(response.id, str(response.error)) for response in answers.wait(1)] == [("2", "Request timeout expired")]
    instance.gate.set()
    answers.wait(3)
