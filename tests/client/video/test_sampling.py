"""Which frames are taken, and when they are: nothing here needs a decoder."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcli_client import OptionError
from tcli_client.video import Frame, Sampling
from tcli_client.video.clock import Clock


def frames(times):
    return (Frame(index, time, 0.0, lambda *_: None) for index, time in enumerate(times))


def taken(times, **how) -> list[int]:
    return [frame.index for frame in Sampling(**how).of(frames(times))]


def test_every():
    assert taken(range(10), every=4) == [0, 4, 8]
    assert taken(range(3), every=100) == [0]
    assert taken(range(3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (25, list(range(10))),
        (100, list(range(10))),
        (12.5, [0, 2, 4, 6, 8]),
        (10, [0, 3, 5, 8]),
        (2.5, [0]),
        (0.01, [0]),
    ],
)
def test_so_many_a_second(rate, expected):
    assert taken([index / 25 for index in range(10)], rate=rate) == expected


def test_a_pause_is_not_made_up_for():
    assert taken([0, 0.04, 5, 5.04, 5.5, 6], rate=2) == [0, 2, 4, 5]


def test_every_and_so_many_a_second():
    assert taken([index / 10 for index in range(20)], every=3, rate=2) == [0, 6, 12, 15]


@given(st.lists(st.floats(0, 2), max_size=200), st.floats(0.1, 50))
def test_never_more_than_the_rate(steps, rate):
    times = [sum(steps[:count]) for count in range(len(steps))]
    chosen = [times[index] for index in taken(times, rate=rate)]
    assert len({math.floor(time * rate + 1e-3) for time in chosen}) >= len(chosen) - 1
    assert not times or chosen[0] == times[0]


@pytest.mark.parametrize("how", [{"every": 0}, {"rate": -1.0}, {"rate": math.inf}, {"rate": math.nan}])
def test_nonsense(how):
    with pytest.raises(OptionError):
        Sampling(**how)


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([0, 0.5, 1.5], [0, 0.5, 1.5]),
        ([5.4, 5.9, 6.0], [0, 0.5, 0.6]),
        ([-0.1, 0.0], [0, 0.1]),
        ([None, None, None], [0, 0.1, 0.2]),
        ([0, None, 0.3], [0, 0.1, 0.3]),
        ([7, 7.1, 0, 0.1], [0, 0.1, 0.2, 0.3]),
        ([1, 1, 1.1], [0, 0, 0.1]),
    ],
)
def test_clock(stamps, times):
    clock = Clock(0.1)
    assert [clock.of(stamp) for stamp in stamps] == pytest.approx(times)


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=50))
def test_time_never_goes_back(stamps):
    clock = Clock(0.04)
    times = [clock.of(stamp) for stamp in stamps]
    assert times == sorted(times)
    assert not times or times[0] == 0
