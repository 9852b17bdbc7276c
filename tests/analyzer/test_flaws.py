"""Windows that show the load generator, or that do not add up, are ranked by nobody."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

import onnx_models
from imagined_bench import Follower, ImaginedBench, grid, loads, machine, throughput
from measured_points import BUSY, finals, point, steady, window
from repositories import add_sub_config, write_model
from tcli_analyzer.bench.journaled import JournaledBench
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.journal import Journal
from tcli_analyzer.load import ClosedLoad, Load, OpenLoad
from tcli_analyzer.measuring.flaws import judged
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Outcome, recommend
from tcli_analyzer.searching.field import Field
from tcli_analyzer.searching.grid import GridSearch
from tcli_server.repository import read_config

LIMIT = GeneratorLimit(closed=1000, open=1000, floor_ms=0.01)


def test_a_window_above_half_of_what_the_generator_can_do_is_flawed():
    slow, fast = window(400, latency_ms=20), window(600, latency_ms=40 / 3)
    assert [bool(one.flaw) for one in judged([slow, fast], ClosedLoad(8), LIMIT)] == [False, True]
    assert judged([fast], ClosedLoad(8))[0].flaw == ""


def test_a_window_that_does_not_add_up_is_flawed():
    lost = window(400, latency_ms=10)  # 4 requests outstanding, of 8 callers
    assert "4 requests were outstanding on average" in judged([lost], ClosedLoad(8), LIMIT)[0].flaw


def test_what_others_disturbed_is_not_the_generators_fault():
    late = replace(window(100, requests=200), late_ms=50.0)
    assert "50 ms late" in judged([late], OpenLoad(100))[0].flaw
    assert judged([replace(late, processor=BUSY)], OpenLoad(100))[0].flaw == ""


def test_one_odd_window_is_no_flaw_of_a_point():
    odd, good = replace(window(100), flaw="odd"), window(100)
    assert Windows([odd, good, good]).flaw == ""
    assert Windows([odd, odd, good]).flaw == "odd"
    assert Windows([odd, replace(good, processor=BUSY), replace(good, processor=BUSY)]).flaw == "odd"


@dataclass
class Limited(ImaginedBench):
    """Its generator sends no more than so many requests a second."""

    most: float = 0.0

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        return judged(super().visit(configuration, load, options), load, GeneratorLimit(self.most, self.most, 0.0))


def test_a_search_names_no_leader_that_the_generator_limits():
    field = Field(grid(), loads(), throughput)
    service = machine(0.030, 0.008, 1.9)
    free = ImaginedBench(service)
    best = GridSearch(clock=free.clock).run(field, free, Follower(free.clock)).leaders[0].measured.throughput
    bench = Limited(service, most=1.8 * best)  # half of it is a tenth below the best
    found = GridSearch(clock=bench.clock).run(field, bench, Follower(bench.clock))
    assert any(one.flaw for one in found.points)
    assert found.leaders
    assert not any(one.flaw for one in found.leaders)
    assert found.leaders[0].measured.throughput < best


def flawed(one: Point) -> Point:
    windows = tuple(replace(each, flaw="limited by the load generator: too fast") for each in one.windows.windows)
    return replace(one, windows=Windows(windows))


def recommended(*points: Sequence[Point]):
    found = recommend(finals(points), [], None)
    assert found is not None
    return found


def test_a_flawed_rival_cannot_win():
    now = point(0, 1, steady(50), current=True)
    found = recommended(now, flawed(point(8, 1, steady(200))), point(4, 1, steady(100)))
    assert found.outcome is Outcome.TAKE
    assert found.chosen.configuration.label == "batch 4, 1 instance"


def test_over_a_flawed_current_configuration_nothing_is_claimed():
    found = recommended(flawed(point(0, 1, steady(50), current=True)), point(4, 1, steady(100)))
    assert found.outcome is Outcome.UNDECIDED
    assert "limited by the load generator: too fast" in found.sentence()
    assert not found.may_be_applied


def test_where_all_are_flawed_nothing_is_claimed():
    found = recommended(flawed(point(4, 1, steady(100))), flawed(point(8, 1, steady(100))))
    assert found.outcome is Outcome.UNDECIDED


@pytest.fixture
def repository(tmp_path):
    write_model(tmp_path, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    return tmp_path


def test_the_bench_of_this_machine_measures_its_generator_once_and_the_journal_keeps_flaws(repository, tmp_path):
    config = read_config(repository / "add_sub" / "config.pbtxt")
    one, other = (Configuration(name, config.max_batch_size, 1, config) for name in ("one", "other"))
    source = RandomSource({"INPUT0": (16,), "INPUT1": (16,)})
    options = VisitOptions(seconds=0.05, warm_up_seconds=0.02)
    with LocalBench({False: repository}, "add_sub", source, threading.Event()) as bench:
        assert bench.limit is None
        bench.visit(one, ClosedLoad(2), options)
        limit = bench.limit
        bench.visit(other, ClosedLoad(2), options)
    assert limit is not None
    assert bench.limit is limit
    assert min(limit.closed, limit.open) > 100

    class Odd:
        def hold(self, configurations: Sequence[Configuration]) -> None:
            pass

        def visit(self, *_: object) -> list[Window]:
            return [replace(window(100), flaw="odd", latencies_ms=np.ones(3))]

    with Journal(tmp_path / "journal", {}, resume=False) as journal:
        JournaledBench(Odd(), journal).visit(one, ClosedLoad(2), options)
    with Journal(tmp_path / "journal", {}, resume=True) as journal:
        (again,) = JournaledBench(Odd(), journal).visit(one, ClosedLoad(2), options)
    assert again.flaw == "odd"
