"""Search by Optuna, where it is installed, and what is said where it is not."""

import importlib.util
import sys

import pytest

from imagined_bench import Follower, ImaginedBench, best, grid, loads, machine, throughput
from tcli_analyzer.searching.field import Field
from tcli_analyzer.searching.tpe import OptunaMissingError, OptunaOptions, OptunaSearch

GAINS = machine(0.030, 0.008, 1.9)
needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")


@needs_optuna
def test_it_finds_a_good_one_and_begins_with_the_current():
    bench = ImaginedBench(GAINS)
    follower = Follower(bench.clock)
    field = Field(grid(), loads(), throughput)
    found = OptunaSearch(OptunaOptions(points=14), bench.clock).run(field, bench, follower)
    assert len(found.points) == 14
    assert found.points[0].configuration.current
    leader = found.leaders[0]
    true = best(bench, field.configurations, field.loads)
    assert bench.true(leader.configuration, leader.load).throughput >= 0.85 * true
    assert len(follower.points) == 14


@needs_optuna
def test_the_same_seed_takes_the_same_way():
    ways = []
    for _ in range(2):
        bench = ImaginedBench(GAINS)
        field = Field(grid(), loads(), throughput)
        found = OptunaSearch(OptunaOptions(points=8, seed=5), bench.clock).run(field, bench, Follower(bench.clock))
        ways.append([point.place for point in found.points])
    assert ways[0] == ways[1]


@needs_optuna
def test_a_small_field_is_measured_once_and_failures_are_results():
    bench = ImaginedBench(GAINS, broken=frozenset(("batch 1, 2 instances",)))
    field = Field(grid((1, 2), (1, 2)), loads(2), throughput, lambda windows: windows.percentile(0.5).keeps(45))
    found = OptunaSearch(OptunaOptions(), bench.clock).run(field, bench, Follower(bench.clock))
    assert len(found.points) == len(field.spots) - 1
    assert [failure.configuration.label for failure in found.failures] == ["batch 1, 2 instances"]


def test_where_it_is_missing_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "optuna", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(OptunaMissingError, match=r"pip install 'tcli\[optuna\]'"):
        OptunaSearch()
