"""How the time that an analysis may take is shared among its stages."""

import pytest

from tcli_analyzer.time_limit import TimeLimit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_limit_each_stage_takes_what_it_usually_does():
    assert TimeLimit(None).share(90, later=60) == 90


def test_what_came_before_is_taken_from_what_follows():
    clock = Clock()
    limit = TimeLimit(100, clock)
    assert limit.share(50, later=40) == 50
    clock.now += 55  # examining took 55 seconds
    assert limit.spent == 55
    assert limit.share(50, later=40) == pytest.approx(25)
    clock.now += 25
    assert limit.share(40) == pytest.approx(20)


def test_a_stage_measures_something_even_if_nothing_is_left():
    clock = Clock()
    limit = TimeLimit(10, clock)
    clock.now += 1000
    assert limit.share(50, later=40) == pytest.approx(15)
