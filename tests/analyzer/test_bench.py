"""The bench of this machine, and the one that remembers."""

import threading

import pytest

import onnx_models
from repositories import add_sub_config, write_model
from tcli_analyzer.bench import CannotMeasureError, local
from tcli_analyzer.bench.journaled import JournaledBench
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration, vary
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.journal import Journal
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_server.repository import read_config

QUICK = VisitOptions(seconds=0.05, warm_up_seconds=0.02)
RANDOM = RandomSource({"INPUT0": (16,), "INPUT1": (16,)})


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("bench")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    return repository


@pytest.fixture
def bench(repository):
    with LocalBench({False: repository}, "add_sub", RANDOM, threading.Event()) as bench:
        yield bench


@pytest.fixture
def configurations(repository):
    base = read_config(repository / "add_sub" / "config.pbtxt")
    return [Configuration(f"batch {size}", size, 1, vary(base, size, 1)) for size in (1, 2, 8)]


def test_configurations_stay_loaded(bench, configurations):
    one, two, _ = configurations
    first = [bench.ready(each, 1).pid for each in (one, two)]
    bench.hold([two])
    bench.visit(two, ClosedLoad(2), QUICK)
    assert [bench.ready(each, 1).pid for each in (one, two)] == first


def test_the_oldest_that_is_not_held_goes_first(bench, configurations, monkeypatch):
    one, two, three = configurations
    monkeypatch.setattr(local, "_KEPT", 1)
    bench.hold([one])
    for each in configurations:
        bench.visit(each, ClosedLoad(2), QUICK)
    assert [bench.is_loaded(each) for each in (one, two, three)] == [True, False, True]
    monkeypatch.setattr(local, "_MEMORY_SHARE", 0.0)  # as if there were no memory
    bench.visit(two, ClosedLoad(2), QUICK)
    assert [bench.is_loaded(each) for each in (one, two, three)] == [False, True, False]


def test_a_configuration_that_does_not_load_is_a_result(bench, configurations):
    one, *_ = configurations
    bad = vary(one.config, 4, 1)
    bad.input[0].dims[0] = 77
    with pytest.raises(CannotMeasureError, match="INPUT0"):
        bench.visit(Configuration("bad", 4, 1, bad), ClosedLoad(1), QUICK)
    assert bench.visit(one, ClosedLoad(1), QUICK)[0].throughput > 0


def test_what_was_measured_is_not_measured_again(bench, configurations, tmp_path):
    one, two, _ = configurations
    bad = vary(one.config, 4, 1)
    bad.input[0].dims[0] = 77
    refused = Configuration("bad", 4, 1, bad)
    path = tmp_path / "journal.jsonl"
    with Journal(path, {}, resume=False) as journal:
        first = JournaledBench(bench, journal)
        before = [first.visit(one, ClosedLoad(2), QUICK)[0] for _ in range(2)]
        with pytest.raises(CannotMeasureError) as failed:
            first.visit(refused, ClosedLoad(2), QUICK)
    with Journal(path, {}, resume=True) as journal:
        second = JournaledBench(bench, journal)
        again = [second.visit(one, ClosedLoad(2), QUICK)[0] for _ in range(2)]
        with pytest.raises(CannotMeasureError) as resumed:
            second.visit(refused, ClosedLoad(2), QUICK)
        second.visit(two, ClosedLoad(2), QUICK)
        second.visit(one, ClosedLoad(2), QUICK)
    assert [window.began for window in again] == [window.began for window in before]
    assert str(resumed.value) == str(failed.value)
    assert second.resumed == 2
    assert len(journal.records) == 2 + 1 + 1 + 2  # what failed was tried again


def test_a_failure_names_the_users_file_and_no_working_copy(repository, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "add_sub").symlink_to(repository / "add_sub", target_is_directory=True)
    base = read_config(repository / "add_sub" / "config.pbtxt")
    lost = vary(base, 1, 1)
    lost.default_model_filename = "lost.onnx"
    with (
        LocalBench({False: tmp_path / "copy"}, "add_sub", RANDOM, threading.Event()) as bench,
        pytest.raises(CannotMeasureError) as failed,
    ):
        bench.visit(Configuration("lost", 1, 1, lost), ClosedLoad(1), QUICK)
    assert str(repository) in str(failed.value)
    assert str(tmp_path) not in str(failed.value)
