"""`plan_batch`: Triton's dynamic batcher rules, as a function of what waits."""

import pytest

from scheduled import request
from tcli_server.request import InferenceRequest
from tcli_server.scheduling.batching import BatchRules, plan_batch

MS = 1_000_000


def queue(*sizes: int, queued_ns: int = 0) -> list[InferenceRequest]:
    items = [request(batch_size=size) for size in sizes]
    for item in items:
        item.queue_ns = queued_ns
    return items


def planned(sizes: list[int], limit: int, preferred: tuple[int, ...] = (), delay_ms: int = 0, now_ms: int = 0) -> tuple:
    rules = BatchRules(limit, frozenset(preferred or (limit,)), delay_ms * MS)
    count, wait_ns = plan_batch(queue(*sizes), rules, limit, now_ms * MS)
    return count, wait_ns / MS


@pytest.mark.parametrize(("sizes", "limit", "count"), [
    ([1] * 6, 4, 4),
    ([1] * 4, 4, 4),
    ([1, 1], 4, 2),
    ([3, 3, 1], 4, 1),
    ([3, 1, 1], 4, 2),
    ([5, 1], 1, 1),
])  # fmt: skip
def test_without_delay_what_fits_goes_at_once(sizes: list[int], limit: int, count: int):
    assert planned(sizes, limit) == (count, 0)


@pytest.mark.parametrize(("sizes", "preferred", "count", "wait"), [
    ([1] * 3, (4,), 0, 10),  # waits for the fourth
    ([1] * 4, (4,), 4, 0),
    ([1] * 6, (4,), 4, 0),  # leaves the rest
    ([1] * 2, (2, 4), 2, 0),
    ([1] * 5, (2, 4), 4, 0),  # the last size that is hit is the best
    ([3, 3], (4,), 1, 0),  # the second would pass the largest preferred size
    ([2, 3], (4,), 1, 0),
    ([3], (4,), 0, 10),
    ([5], (4,), 1, 0),  # larger than every preferred size
    ([4, 4], (6,), 1, 0),
    ([4, 4, 1], (9,), 2, 0),  # the limit of 8 ends the batch
])  # fmt: skip
def test_a_preferred_size_is_waited_for(sizes: list[int], preferred: tuple[int, ...], count: int, wait: float):
    assert planned(sizes, 8, preferred, delay_ms=10) == (count, wait)


def test_the_wait_is_what_is_left_of_the_oldest_requests_delay():
    rules = BatchRules(8, frozenset((8,)), 10 * MS)
    waiting = [*queue(1, queued_ns=5 * MS), *queue(1, queued_ns=2 * MS)]  # another priority: the second is older
    assert plan_batch(waiting, rules, 8, 6 * MS) == (0, 6 * MS)
    assert plan_batch(waiting, rules, 8, 12 * MS) == (2, 0)


def test_after_the_delay_preferred_sizes_do_not_matter():
    assert planned([1] * 6, 8, (4,), delay_ms=10, now_ms=9) == (4, 0)
    assert planned([1] * 6, 8, (4,), delay_ms=10, now_ms=10) == (6, 0)


def test_another_shape_ends_the_batch():
    a, b = request(width=1), request(width=2)
    assert plan_batch([a, b, a], BatchRules(8, frozenset((8,)), MS), 8, 0) == (1, 0)


def test_in_a_hurry_nothing_is_waited_for():
    rules = BatchRules(8, frozenset((4,)), 10 * MS)
    assert plan_batch(queue(1, 1), rules, 8, 0, hurry=True) == (2, 0)
