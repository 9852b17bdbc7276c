"""Loading, reloading and unloading: in order, in time, and with nothing left behind."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from repositories import add_sub_config, pushed_folders, states, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.backends.onnxruntime.backend import OnnxRuntimeBackend
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, UnavailableError
from tcli_server.models import registry
from waiting import until

EXPLICIT = EngineOptions(model_control_mode="explicit")
PAIR = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
SLOW = {"INPUT0": np.ones((1, 4), np.float32)}
MODEL = onnx_models.add_sub()
CONFIG = json.dumps({"backend": "onnxruntime", "max_batch_size": 4})


class Gate:
    """Holds back the opening of models."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.released = threading.Event()
        self.entered = threading.Semaphore(0)
        open_model = OnnxRuntimeBackend.open

        def held(backend: OnnxRuntimeBackend, *place: object) -> object:
            self.entered.release()
            assert self.released.wait(60)
            return open_model(backend, *place)

        monkeypatch.setattr(OnnxRuntimeBackend, "open", held)

    def wait(self) -> None:
        assert self.entered.acquire(timeout=60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


# --- order ---


def test_an_unload_during_a_load_waits_for_it_and_then_unloads(engine: Engine, gate: Gate):
    load = engine.begin_load("add_sub")
    gate.wait()
    assert states(engine) == {"add_sub/1": "LOADING"}
    unload = engine.begin_unload("add_sub")
    assert not unload.done()
    gate.released.set()
    load.result(60)
    unload.result(60)
    assert states(engine) == {"add_sub/1": "UNAVAILABLE"}
    assert not engine.model_ready("add_sub")


def test_loads_of_one_name_run_one_after_the_other(engine: Engine, gate: Gate):
    loads = [engine.begin_load("add_sub", CONFIG) for _ in range(3)]
    gate.wait()
    assert not gate.entered.acquire(timeout=0.1)
    gate.released.set()
    for load in loads:
        load.result(60)
    assert states(engine) == {"add_sub/1": "READY"}


def test_stuck_loads_keep_nobody_else_from_unloading(repository: Path, monkeypatch: pytest.MonkeyPatch):
    for index in range(8):
        write_model(repository, f"stuck{index}", MODEL)
    with Engine(repository, options=EXPLICIT) as engine:
        engine.load("add_sub")
        gate = Gate(monkeypatch)
        loads = [engine.begin_load(f"stuck{index}") for index in range(8)]
        for _ in range(EXPLICIT.model_load_thread_count):
            gate.wait()
        assert not gate.entered.acquire(timeout=0.05)  # no more than were allowed
        engine.begin_unload("add_sub").result(30)
        assert not engine.model_ready("add_sub")
        gate.released.set()
        for load in loads:
            load.result(60)


def test_a_shutdown_waits_for_no_load_and_the_load_leaves_nothing(engine: Engine, gate: Gate):
    before = pushed_folders()
    load = engine.begin_load("lonely", CONFIG, {"1/model.onnx": MODEL})
    waiting = engine.begin_load("add_sub")
    gate.wait()
    assert engine.shutdown(timeout=30) is True
    assert engine.loading
    loading = [thread for thread in threading.enumerate() if thread.name.startswith("control ")]
    assert [thread for thread in loading if not thread.daemon] == [], "the process could not end"
    for future in (load, waiting):  # told at once, also of what may never end
        with pytest.raises(UnavailableError, match="Server exiting"):
            future.result(20)
    gate.released.set()
    until(lambda: not engine.loading)
    assert pushed_folders() == before
    assert "lonely_0_0" not in [thread.name for thread in threading.enumerate()]


def test_too_many_operations_are_refused(engine: Engine, gate: Gate):
    loads = [engine.begin_load("add_sub", CONFIG) for _ in range(1200)]
    assert isinstance(loads[-1].exception(60), UnavailableError)
    assert "under way already" in str(loads[-1].exception())
    gate.released.set()
    assert loads[0].exception(60) is None


def test_while_names_load_and_unload_at_once_what_is_ready_answers(repository: Path):
    """Publication is one step: index and inference never disagree for long, whoever else changes the registry."""
    names = [f"m{index}" for index in range(6)]
    for name in names:
        write_model(repository, name, MODEL)
    with Engine(repository, options=EXPLICIT) as engine, ThreadPoolExecutor(6) as pool:

        def churn(name: str) -> None:
            for _ in range(8):
                engine.load(name)
                assert engine.model_ready(name)
                engine.infer(name, PAIR)
                engine.unload(name)
                assert not engine.model_ready(name)
            engine.load(name)

        list(pool.map(churn, names))
        assert states(engine) == {f"{name}/1": "READY" for name in names}
        for name in names:
            engine.infer(name, PAIR)


# --- what changed on disk ---


def executions(engine: Engine, name: str, version: str) -> int:
    return engine.statistics(name, version).model_stats[0].execution_count


def test_a_new_version_leaves_the_others_as_they_are(repository: Path, engine: Engine):
    (repository / "add_sub" / "config.pbtxt").write_text("version_policy { all { } }")
    engine.load("add_sub")
    engine.infer("add_sub", PAIR)
    write_model(repository, "add_sub", MODEL, version=3)
    engine.load("add_sub")
    assert states(engine) == {"add_sub/1": "READY", "add_sub/3": "READY"}
    assert executions(engine, "add_sub", "1") == 1
    (repository / "add_sub" / "3" / "model.onnx").write_bytes(onnx_models.add_sub(shape=("N", 16)))
    engine.infer("add_sub", PAIR, model_version="3")
    os.utime(repository / "add_sub" / "3" / "model.onnx", ns=(1, 1))
    engine.load("add_sub")
    assert (executions(engine, "add_sub", "1"), executions(engine, "add_sub", "3")) == (1, 0)


def test_a_version_that_is_gone_is_unloaded(repository: Path, engine: Engine):
    (repository / "add_sub" / "config.pbtxt").write_text("version_policy { all { } }")
    write_model(repository, "add_sub", MODEL, version=2)
    engine.load("add_sub")
    (repository / "add_sub" / "1" / "model.onnx").unlink()
    (repository / "add_sub" / "1").rmdir()
    engine.load("add_sub")
    assert states(engine) == {"add_sub/1": "UNAVAILABLE", "add_sub/2": "READY"}
    engine.infer("add_sub", PAIR)


def test_of_the_versions_that_are_gone_the_newest_are_listed(
    repository: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(registry, "_MOST_UNLOADED", 2)
    for version in range(2, 7):
        write_model(repository, "add_sub", MODEL, version=version)
        engine.load("add_sub")
        engine.infer("add_sub", PAIR, model_version=str(version))
    until(lambda: "UNLOADING" not in states(engine).values())
    write_model(repository, "add_sub", MODEL, version=7)
    engine.load("add_sub")
    until(lambda: "UNLOADING" not in states(engine).values())
    assert states(engine) == {
        **{f"add_sub/{version}": "UNAVAILABLE" for version in (4, 5, 6)},  # the last one was not gone yet
        "add_sub/7": "READY",
    }


def test_instances_change_in_place(repository: Path, engine: Engine):
    """Only instance_group differs: no reload, so the statistics go on; the threads that go are gone."""
    config = add_sub_config("resized").replace('label_filename: "labels.txt"', "")
    folder = write_model(repository, "resized", MODEL, config + "instance_group { count: 1 kind: KIND_CPU }")
    engine.load("resized")
    engine.infer("resized", PAIR)
    for count in (3, 2):
        (folder / "config.pbtxt").write_text(config + f"instance_group {{ count: {count} kind: KIND_CPU }}")
        engine.load("resized")
        assert [place.name for place in engine.model("resized").placements] == [f"resized_0_{i}" for i in range(count)]
        assert engine.model_config("resized").instance_group[0].count == count
        assert engine.model_config("resized").max_batch_size == 8
    engine.infer("resized", PAIR)
    assert executions(engine, "resized", "1") == 2
    until(lambda: sum(thread.name.startswith("resized_0_") for thread in threading.enumerate()) == 2)


# --- configurations and files that come with the request ---


def test_an_override_stays_until_the_folder_changes(repository: Path, engine: Engine):
    engine.load("add_sub", CONFIG)
    assert engine.model_config("add_sub").max_batch_size == 4
    with pytest.raises(ServerError):
        engine.load("add_sub", json.dumps({"backend": "onnxruntime", "max_batch_size": -1}))
    engine.load("add_sub")
    assert engine.model_config("add_sub").max_batch_size == 4
    write_model(repository, "add_sub", MODEL, 'backend: "onnxruntime" max_batch_size: 2')
    engine.load("add_sub")
    assert engine.model_config("add_sub").max_batch_size == 2


@pytest.mark.parametrize(("config", "kind", "words"), [
    ({"max_batch_size": 8, "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [3]}]},
     InvalidArgumentError, r"load failed for model 'add_sub'.*in the parameter 'config': input\[0\].dims"),
    ({"max_batch_size": -1}, InternalError, "in the parameter 'config': max_batch_size"),
    ({"instance_group": [{"kind": "KIND_CPU", "count": 2000}]}, InvalidArgumentError, "in the parameter 'config'"),
    ({"nonsense": 1}, InternalError, "the 'config' parameter is not a model configuration in JSON"),
], ids=["dims", "static", "machine", "field"])  # fmt: skip
def test_a_mistake_in_the_parameter_is_not_blamed_on_the_file(engine: Engine, config: dict, kind: type, words: str):
    with pytest.raises(kind, match=words):
        engine.load("add_sub", json.dumps({"backend": "onnxruntime", **config}))


@pytest.mark.parametrize(("text", "takes"), [
    ('{backend: "onnxruntime", max_batch_size: 4}', True),
    ('{"backend": "onnxruntime", "max_batch_size": 4, instance_group : [ {kind: "KIND_CPU", count: 1} ]}', True),
    ('{"backend": "onnxruntime", max_batch_size: 4, parameters: {"a, b: c": {string_value: "{d: \\"e, f: g"}}}', True),
    ('{"backend": "onnxruntime", "maxBatchSize": 4, "instanceGroup": {"kind": "KIND_CPU", "count": 2}}', True),
    ('{"backend": "onnxruntime", "max_batch_size": 4, "dynamic_batching": {"preferred_batch_size": 2}}', True),
    ('{"backend": "onnxruntime", "max_batch_size": 4, "instance_group": {"rate_limiter": {"resources": {"name": "r"}}}}', True),
    ('{"backend": "onnxruntime", "max_batch_size": 4, "instance_group": "KIND_CPU"}', False),
    ('{"backend": "onnxruntime", "max_batch_size": [4]}', False),
    ('[]', False),
    ('{"backend": "onnxruntime", max-batch-size: 4}', False),
    ('{backend: onnxruntime}', False),
    ('{backend: "onnxruntime', False),
])  # fmt: skip
def test_the_parameter_is_read_as_leniently_as_protobuf_reads_it(engine: Engine, text: str, takes: bool):
    if not takes:
        with pytest.raises(InternalError, match="is not a model configuration in JSON"):
            engine.load("add_sub", text)
        return
    engine.load("add_sub", text)
    config = engine.model_config("add_sub")
    assert config.max_batch_size == 4
    assert {name: value.string_value for name, value in config.parameters.items()} in ({}, {"a, b: c": '{d: "e, f: g'})


def test_pushed_files_live_as_long_as_they_are_served(engine: Engine):
    before = pushed_folders()
    engine.load("add_sub", CONFIG, {"7/model.onnx": MODEL})
    assert states(engine) == {"add_sub/7": "READY"}
    assert len(pushed_folders()) == len(before) + 1
    engine.load("add_sub")  # back to the repository's files
    assert states(engine) == {"add_sub/1": "READY", "add_sub/7": "UNAVAILABLE"}
    assert pushed_folders() == before
    engine.load("new_one", CONFIG, {"1/model.onnx": MODEL})
    engine.infer("new_one", PAIR)
    engine.unload("new_one")
    assert pushed_folders() == before


@pytest.mark.parametrize("files", [
    {"1/model.onnx": b"no model"},
    {"../model.onnx": MODEL},
    {"1/" + "x" * 256: MODEL},
    {"1/a\0b": MODEL},
    {"1": MODEL, "1/model.onnx": MODEL},
    {"1\\..\\..\\x": MODEL},
    {"": MODEL},
], ids=["broken", "parent", "long", "nul", "clash", "windows", "empty"])  # fmt: skip
def test_files_that_cannot_be_served_leave_nothing_behind(engine: Engine, files: dict[str, bytes]):
    engine.load("add_sub")
    before = pushed_folders()
    for name in ("add_sub", "made_up"):
        with pytest.raises(ServerError) as refusal:
            engine.load(name, CONFIG, files)
        assert "Errno" not in str(refusal.value), "a place of ours in the file system is nobody's business"
    assert pushed_folders() == before
    assert states(engine) == {"add_sub/1": "READY"}
    engine.infer("add_sub", PAIR)


def test_names_that_nobody_has_leave_no_trace(engine: Engine):
    for name in ("nope", "", " ", "..", "a/b", "a\\b", "a\0b", "x" * 300, "\ud800"):
        with pytest.raises(ServerError):
            engine.load(name)
    assert states(engine) == {}


def test_control_by_request_can_be_switched_off(repository: Path):
    options = EngineOptions(
        model_control_mode="explicit", allow_model_control_config=False, allow_model_control_files=False
    )
    with Engine(repository, options=options) as engine:
        with pytest.raises(UnavailableError, match="--allow-model-control-config"):
            engine.load("add_sub", CONFIG)
        engine.load("add_sub")
    with Engine(repository, options=EngineOptions(model_control_mode="explicit", allow_model_control_files=False)) as e:
        with pytest.raises(UnavailableError, match="--allow-model-control-files"):
            e.load("add_sub", CONFIG, {"1/model.onnx": MODEL})
        e.load("add_sub", CONFIG)
