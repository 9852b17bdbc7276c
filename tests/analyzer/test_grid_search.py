"""Measuring everything, and racing what is left, on machines whose truth is known."""

import itertools

import pytest

from imagined_bench import Follower, ImaginedBench, best, grid, loads, machine, throughput
from tcli_analyzer.searching.field import Field
from tcli_analyzer.searching.grid import GridSearch
from tcli_analyzer.searching.points import Points
from tcli_analyzer.searching.progress import Progress
from tcli_analyzer.searching.racing import race_down
from tcli_analyzer.searching.visits import Visits

GAINS = machine(0.030, 0.008, 1.9)


def test_everything_that_can_differ_is_measured_in_rounds():
    bench = ImaginedBench(GAINS)
    follower = Follower(bench.clock)
    field = Field(grid(), loads(), throughput)
    found = GridSearch(clock=bench.clock).run(field, bench, follower)
    assert len(found.points) == len(field.spots) == 28
    assert all(len(point.windows.windows) == 4 for point in found.points)
    assert found.prediction is None
    assert found.size == 40
    true = best(bench, field.configurations, field.loads)
    leader = found.leaders[0]
    assert bench.true(leader.configuration, leader.load).throughput >= 0.97 * true
    first = [configuration for configuration, _, _ in bench.visits[: len(field.spots)]]
    again = [configuration for configuration, _, _ in bench.visits[len(field.spots) :]]
    assert first == again[::-1]
    assert sum(a is not b for a, b in itertools.pairwise(first)) == len(set(first)) - 1  # each loaded once


def test_the_time_left_of_a_grid_is_right_soon():
    bench = ImaginedBench(GAINS)
    follower = Follower(bench.clock)
    GridSearch(clock=bench.clock).run(Field(grid(), loads(), throughput), bench, follower)
    told = [(at, left) for at, left in follower.left if at >= 10 and bench.now - at > 5]
    assert all(0.5 <= left / (bench.now - at) <= 2.0 for at, left in told)


def test_more_concurrency_is_not_tried_once_the_budget_is_broken():
    bench = ImaginedBench(GAINS)
    field = Field(grid((1,), (1,)), loads(), throughput, lambda windows: windows.percentile(0.5).keeps(70))
    found = GridSearch(clock=bench.clock).run(field, bench, Follower(bench.clock))
    assert [point.load.label for point in found.points] == ["concurrency 1", "concurrency 2", "concurrency 4"]
    assert found.current is not None
    assert found.current.load.label != "concurrency 4"


def test_what_others_disturbed_breaks_no_budget():
    bench = ImaginedBench(GAINS, busy=1.0)
    field = Field(grid((1,), (1,)), loads(), throughput, lambda windows: windows.percentile(0.5).keeps(70))
    found = GridSearch(clock=bench.clock).run(field, bench, Follower(bench.clock))
    assert len(found.points) == field.size


def test_what_fails_is_tried_once_and_stopping_keeps_what_there_is():
    bench = ImaginedBench(GAINS, broken=frozenset(("batch 2, 1 instance",)), stop_after=20)
    follower = Follower(bench.clock)
    found = GridSearch(clock=bench.clock).run(Field(grid(), loads(), throughput), bench, follower)
    assert found.stopped
    assert found.points
    assert [failure.configuration.label for failure in follower.failures] == ["batch 2, 1 instance"]
    assert sum(one.label == "batch 2, 1 instance" for one, _, _ in bench.visits) == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_race_ends_with_the_best(seed: int):
    bench = ImaginedBench(GAINS, seed, noise=0.08)
    field = Field(grid(), loads(4, 16), throughput)
    points = Points(field)
    follower = Follower(bench.clock)
    visits = Visits(bench, lambda: True, 300, clock=bench.clock)
    race_down(field, visits, points, field.spots, 50.0, Progress(follower, visits))
    assert len(points.windows) == len(field.spots)
    leader = points.leaders(points.score)[0]
    reached = bench.true(leader.configuration, leader.load).throughput
    assert reached >= 0.93 * best(bench, field.configurations, field.loads)
    lengths = sorted(len(windows) for windows in points.windows.values())
    assert lengths[0] == 1
    assert lengths[-1] >= 7
    assert len(follower.told) < 3 * len(field.spots)
    told = [(at, left) for at, left in follower.left if at > 10 and bench.now - at > 5]
    assert all(0.5 <= left / (bench.now - at) <= 2.0 for at, left in told)


def test_a_race_without_time_for_all_takes_the_best_guesses_and_the_current_one():
    bench = ImaginedBench(GAINS)
    field = Field(grid(), loads(4, 16), throughput)
    points = Points(field)
    visits = Visits(bench, lambda: True, 20, clock=bench.clock)
    order = list(reversed(field.spots))
    race_down(field, visits, points, order, 50.0, Progress(Follower(), visits))
    assert 2 <= len(points.windows) < len(field.spots)
    assert any(spot.configuration.current for spot in points.windows)
    assert order[0] in points.windows
    assert bench.now <= 25
