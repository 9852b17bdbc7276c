"""How large a batch is believed to be quick, after what was seen."""

import pytest

from scheduled import request
from tcli_server.scheduling.quickness import Quickness

QUICK, SLOW = 200_000, 200_001
"""Nanoseconds."""


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
    quickness = Quickness(steady=True)
    for sizes, duration_ns in seen:
        quickness.ran([request(batch_size=size) for size in sizes], duration_ns)
    assert quickness.limit == limit


def test_an_instance_that_takes_any_time_is_never_quick():
    quickness = Quickness(steady=False)
    for _ in range(3):
        quickness.ran([request()], 1)
    assert quickness.limit == 0
