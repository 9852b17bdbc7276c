"""Two models of this machine under load at the same time, on the real engine."""

import os
import signal
import threading
import time
from dataclasses import replace

import pytest

import onnx_models
from repositories import write_model
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.bench.together import CannotMeasureTogetherError, LocalTogetherBench
from tcli_analyzer.configuration import Configuration, vary
from tcli_analyzer.evidence.disturbance import Disturbance, ProcessorMeter, ProcessorTime
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.journal import Journal
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.together.arrangement import Arrangement, Choice
from tcli_analyzer.together.journaled import JournaledTogetherBench
from tcli_analyzer.together.window import joint_time, part_windows
from tcli_server.repository import read_config

MODELS = ("quick", "slow")
OPTIONS = VisitOptions(windows=2, seconds=0.1, requests=3, warm_up_seconds=0.05)
CONFIG = """name: "{name}" backend: "onnxruntime" max_batch_size: 4
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] }} ]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("together")
    for name, rounds in zip(MODELS, (2, 40), strict=True):
        write_model(repository, name, onnx_models.slow_identity(rounds, 64), CONFIG.format(name=name))
    return repository


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def benches(repository, stop):
    found = {name: LocalBench({False: repository}, name, RandomSource({"INPUT0": (4,)}), stop) for name in MODELS}
    yield found
    for bench in found.values():
        bench.hold(())


@pytest.fixture
def bench(benches, stop):
    return LocalTogetherBench(benches, stop)


@pytest.fixture
def arrangement(repository):
    def choice(name: str) -> Choice:
        base = read_config(repository / name / "config.pbtxt")
        return Choice(name, Configuration("batch 4", 4, 1, vary(base, 4, 1), current=True), ClosedLoad(2))

    return Arrangement(tuple(choice(name) for name in MODELS))


def test_all_are_measured_in_the_same_windows(bench, arrangement):
    bench.hold([arrangement])
    windows = bench.visit(arrangement, replace(OPTIONS, seconds=0.4, longest=1000))
    assert len(windows) == 2
    for window in windows:
        assert set(window.parts) == set(MODELS)
        begins = [part.began for part in window.parts.values()]
        assert max(begins) - min(begins) < window.seconds
        for part in window.parts.values():
            assert len(part.latencies_ms) >= 3
            assert part.memory_mib > 1
        assert window.throughput == pytest.approx(sum(part.throughput for part in window.parts.values()))
    quick, slow = (part_windows(windows, name) for name in MODELS)
    assert quick.throughput > 2 * slow.throughput
    for part in (quick, slow):
        assert part.counters.requests >= 3
        # Little's law: two requests were outstanding all the time. Those at the windows' ends are cut.
        cut = 2 * part.latencies_ms.max() / 1e3 / part.seconds
        assert part.throughput * part.latency_avg_ms / 1e3 == pytest.approx(2, abs=0.1 + cut)


def test_a_request_rate_goes_beside_callers(bench, arrangement):
    quick, slow = arrangement.choices
    mixed = Arrangement((Choice(quick.model, quick.configuration, OpenLoad(50)), slow))
    (window,) = bench.visit(mixed, VisitOptions(windows=1, seconds=0.4, warm_up_seconds=0.1, requests=3, longest=1000))
    part = window.parts["quick"]
    assert len(part.latencies_ms) >= 3
    # What was held up at the window's beginning is answered in it, too.
    assert len(part.latencies_ms) < 120 * part.seconds + 50 * part.latencies_ms.max() / 1e3


def test_what_one_model_takes_from_another_is_no_disturbance():
    """On two cores that both wanted whole: nobody else ran but the other one."""
    one = ProcessorTime(own=1.0, wait=0.9, other=1.0, steal=0.0)
    other = ProcessorTime(own=1.0, wait=0.8, other=1.0, steal=0.0)
    assert one.disturbance is other.disturbance is Disturbance.DISTURBED
    assert joint_time([one, other]).disturbance is Disturbance.CLEAN
    foreign = [ProcessorTime(0.7, 0.9, 1.3, 0.0), ProcessorTime(0.7, 0.8, 1.3, 0.0)]
    assert joint_time(foreign).lost == pytest.approx(0.6)
    assert joint_time(foreign).disturbance is Disturbance.DISTURBED


@pytest.mark.skipif(not ProcessorMeter.is_possible(), reason="this system does not tell")
def test_processor_time_is_of_all_models(bench, arrangement):
    (window, _) = bench.visit(arrangement, OPTIONS)
    each = [part.processor.own for part in window.parts.values()]
    assert all(own > 0 for own in each)
    assert window.processor.own >= sum(each)
    for part in window.parts.values():
        assert part.processor.lost_share == pytest.approx(window.processor.lost_share)


def test_a_model_that_does_not_load_is_named_and_the_others_go_on(bench, arrangement):
    slow = arrangement.of("slow")
    config = vary(slow.configuration.config, 4, 1)
    config.input[0].dims[0] = 77
    bad = Choice(slow.model, Configuration("bad", 4, 1, config), slow.load)
    with pytest.raises(CannotMeasureTogetherError, match="INPUT0") as failed:
        bench.visit(arrangement.having([bad]), OPTIONS)
    assert failed.value.choice is bad
    assert len(bench.visit(arrangement, OPTIONS)) == 2


def test_a_process_that_dies_under_load_is_named_and_the_others_go_on(bench, benches, arrangement):
    bench.visit(arrangement, OPTIONS)
    pid = benches["slow"].ready(arrangement.of("slow").configuration, 1).pid
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(CannotMeasureTogetherError, match=r"killed|SIGKILL|signal 9") as failed:
        bench.visit(arrangement, VisitOptions(windows=1000, seconds=0.05, warm_up_seconds=0.05))
    killer.join()
    assert failed.value.choice is arrangement.of("slow")
    quick = benches["quick"].ready(arrangement.of("quick").configuration, 1).pid
    assert len(bench.visit(arrangement, OPTIONS)) == 2
    assert benches["quick"].ready(arrangement.of("quick").configuration, 1).pid == quick


def test_stopping_ends_it_soon(bench, arrangement, stop):
    bench.visit(arrangement, OPTIONS)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        bench.visit(arrangement, VisitOptions(windows=1, seconds=60))
    assert time.monotonic() - began < 10


def test_what_was_measured_is_not_measured_again(bench, arrangement, tmp_path):
    slow = arrangement.of("slow")
    config = vary(slow.configuration.config, 4, 1)
    config.input[0].dims[0] = 77
    bad = arrangement.having([Choice(slow.model, Configuration("bad", 4, 1, config), slow.load)])
    path = tmp_path / "journal.jsonl"
    with Journal(path, {}, resume=False) as journal:
        first = JournaledTogetherBench(bench, journal)
        before = first.visit(arrangement, OPTIONS)
        with pytest.raises(CannotMeasureTogetherError):
            first.visit(bad, OPTIONS)
    with Journal(path, {}, resume=True) as journal:
        second = JournaledTogetherBench(bench, journal)
        again = second.visit(arrangement, OPTIONS)
        with pytest.raises(CannotMeasureTogetherError) as failed:
            second.visit(bad, OPTIONS)
        fresh = second.visit(arrangement, OPTIONS)
    assert second.resumed == 2
    assert failed.value.choice is bad.of("slow")
    for one, other in zip(before, again, strict=True):
        assert one.processor == other.processor
        for name in MODELS:
            assert one.parts[name].throughput == other.parts[name].throughput
            assert one.parts[name].latency_ms == pytest.approx(other.parts[name].latency_ms, rel=1e-5)
    assert fresh[0].began > before[0].began
