"""How large a batch is believed to be quick, after what was seen."""

import pytest

from scheduled import request
from tcli_server.request import InferenceRequest
from tcli_server.scheduling.quickness import Quickness

QUICK, SLOW = 200_000, 200_001
"""Nanoseconds."""


def ran(quickness: Quickness, batch: list[InferenceRequest], duration_ns: int, answered: bool = True) -> None:
    quickness.ran(batch, answered, duration_ns, duration_ns)


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        ([], 0),
        ([((3,), QUICK)], 6),
        ([((2, 3), QUICK)], 10),
        ([((3,), SLOW)], 0),
        ([((3,), QUICK), ((1,), QUICK)], 6),
        ([((3,), QUICK), ((4,), QUICK)], 8),
        ([((8,), QUICK), ((6,), SLOW)], 3),
        ([((8,), QUICK), ((2, 5), SLOW)], 3),
        ([((2,), QUICK), ((100,), SLOW)], 4),
        ([((2,), QUICK), ((1,), SLOW)], 0),
        ([((2,), SLOW), ((1,), QUICK)], 2),
    ],
)
def test_no_more_is_believed_than_twice_what_was_quick_and_half_of_what_was_not(
    seen: list[tuple[tuple[int, ...], int]], limit: int
):
    quickness = Quickness(most=1000)
    for sizes, duration_ns in seen:
        ran(quickness, [request(batch_size=size) for size in sizes], duration_ns)
    assert quickness.limit == limit


def test_an_instance_that_takes_any_time_is_never_quick():
    quickness = Quickness(most=0)
    for _ in range(3):
        ran(quickness, [request()], 1)
    assert quickness.limit == 0


def test_no_more_is_believed_than_what_is_small_enough():
    quickness = Quickness(most=7)
    ran(quickness, [request(batch_size=6)], QUICK)
    assert quickness.limit == 7


def test_what_failed_says_only_that_it_took_long():
    quickness = Quickness(most=1000)
    ran(quickness, [request(batch_size=4)], QUICK, answered=False)
    assert quickness.limit == 0
    ran(quickness, [request(batch_size=4)], QUICK)
    ran(quickness, [request(batch_size=8)], QUICK, answered=False)
    assert quickness.limit == 8
    ran(quickness, [request(batch_size=4)], SLOW, answered=False)
    assert quickness.limit == 2
