"""Loading, reloading and unloading: in order, in time, and with nothing left behind."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_models
from repositories import add_sub_config, pushed_folders, write_model
from tcli_server import Engine, EngineOptions, InferenceRequest
from tcli_server.backends.onnxruntime.backend import OnnxRuntimeBackend
from tcli_server.errors import InternalError, InvalidArgumentError, NotFoundError, ServerError, UnavailableError
from tcli_server.models.check import check_repository

EXPLICIT = EngineOptions(model_control_mode="explicit")
PAIR = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
SLOW = {"INPUT0": np.ones((1, 4), np.float32)}
MODEL = onnx_models.add_sub()
CONFIG = json.dumps({"backend": "onnxruntime", "max_batch_size": 4})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path, "add_sub", MODEL)
    return tmp_path


@pytest.fixture
def engine(repository: Path) -> Iterator[Engine]:
    with Engine(repository, options=EXPLICIT) as running:
        yield running


def states(engine: Engine) -> dict[str, str]:
    """`name/version` -> state."""
    return {f"{row.name}/{row.version}": row.state for row in engine.repository_index().models if row.state}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
            for _ in range(15):
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
    {"/1/model.onnx": MODEL},
    {"1/" + "x" * 256: MODEL},
    {"1/a\0b": MODEL},
    {"1": MODEL, "1/model.onnx": MODEL},
    {"1\\..\\..\\x": MODEL},
    {"": MODEL},
], ids=["broken", "parent", "absolute", "long", "nul", "clash", "windows", "empty"])  # fmt: skip
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


# --- security ---


def with_external_weights(location: str) -> bytes:
    weights = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("X", "Y")]
    graph = helper.make_graph([helper.make_node("Add", ["X", "W"], ["Y"])], "g", tensors[:1], tensors[1:], [weights])
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../../../../etc/passwd", "a/../../../secret", "C:\\secret", "\\secret", "*/_ORT_MEM_ADDR_/*"],
)
def test_no_file_outside_of_the_models_folder_can_be_read(tmp_path: Path, engine: Engine, location: str):
    (tmp_path / "secret").write_bytes(b"x" * 16)
    for more in ({}, {"parameters": {"session.model_external_initializers_file_folder_path": {"string_value": "/"}}}):
        config = json.dumps({"backend": "onnxruntime", "max_batch_size": 0, **more})
        with pytest.raises(ServerError, match=r"outside of (its|the model's) folder"):
            engine.load("spy", config, {"1/model.onnx": with_external_weights(location)})


@pytest.mark.parametrize("key", ["default_model_filename", "label"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "..\\..\\x", "C:\\x", "a\0b", "x" * 300])
def test_no_path_of_a_configuration_leaves_the_folder(engine: Engine, key: str, path: str):
    config: dict = {"backend": "onnxruntime", "max_batch_size": 4}
    if key == "label":
        config["output"] = [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [16], "label_filename": path}]
    else:
        config[key] = path
    with pytest.raises(ServerError) as refusal:
        engine.load("add_sub", json.dumps(config))
    assert "root:" not in str(refusal.value)


# --- files that are no models ---


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path):
    """A FIFO would keep whoever opens it waiting for ever."""
    (tmp_path / "fifo" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "fifo" / "1" / "model.onnx")
    with Engine(tmp_path) as engine:
        (row,) = engine.repository_index().models
        assert "not a regular file" in row.reason
    (problem,) = check_repository(tmp_path)
    assert (problem.file.name, problem.found) == ("model.onnx", "no regular file")


def strange_models() -> dict[str, bytes]:
    model = onnx.load_from_string(MODEL)
    unknown = onnx.ModelProto()
    unknown.CopyFrom(model)
    unknown.graph.input[0].type.tensor_type.elem_type = 99
    broken_text = MODEL.replace(b"INPUT0", b"INP\xff\xfe0")
    return {
        "unknown_type": unknown.SerializeToString(),
        "broken_text": broken_text,
        "empty": b"",
        "html": b"<!doctype html><title>404</title>",
        "cut": MODEL[: len(MODEL) // 2],
        "noise": bytes(range(256)) * 8,
    }


def test_strange_model_files_are_told_and_harm_no_other(tmp_path: Path):
    for name, content in strange_models().items():
        write_model(tmp_path, name, content)
    write_model(tmp_path, "good", MODEL)
    (tmp_path / "lost").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    write_model(tmp_path, "kind", MODEL, "instance_group { kind: ² }")
    write_model(tmp_path, "number", MODEL, "max_batch_size: " + "9" * 5000)
    write_model(tmp_path, "long", MODEL, f'default_model_filename: "{"x" * 300}"')
    with Engine(tmp_path) as engine:
        rows = {row.name: row for row in engine.repository_index().models}
        assert rows.pop("good").state == "READY"
        for name, row in rows.items():
            assert row.state == "UNAVAILABLE", name
            assert row.reason, name
        engine.infer("good", PAIR)


def test_scalars_reach_the_model_as_scalars(tmp_path: Path):
    """Clients send shape [1], as a configuration has no word for no dimension."""
    nodes = [helper.make_node("Gather", ["X", "I"], ["Y"]), helper.make_node("ReduceSum", ["Y"], ["S"], keepdims=0)]
    inputs = [
        helper.make_tensor_value_info("X", TensorProto.FLOAT, [3, 4]),
        helper.make_tensor_value_info("I", TensorProto.INT64, []),
    ]
    outputs = [
        helper.make_tensor_value_info("Y", TensorProto.FLOAT, [4]),
        helper.make_tensor_value_info("S", TensorProto.FLOAT, []),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET)
    write_model(tmp_path, "m", model.SerializeToString())
    with Engine(tmp_path) as engine:
        x = np.arange(12, dtype=np.float32).reshape(3, 4)
        answer = engine.infer("m", {"X": x, "I": np.array([2])}).outputs
        assert answer["Y"].tolist() == x[2].tolist()
        assert answer["S"].tolist() == [38]
        with pytest.raises(InvalidArgumentError, match=r"Expected \[1\], got \[\]"):
            engine.infer("m", {"X": x, "I": np.array(2)})


@pytest.mark.parametrize(("dims", "loads"), [("1", True), ("1, 1", True), ("2", False), ("-1", False)])
def test_a_tensor_of_unknown_rank_is_taken_for_a_scalar(tmp_path: Path, dims: str, loads: bool):
    """As in Triton, where ONNX Runtime tells no dimension for both."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("X", "Y")]
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "g", tensors[:1], tensors[1:])
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()
    config = '{} [ {{ name: "{}" data_type: TYPE_FP32 dims: [ ' + dims + " ] }} ]\n"
    write_model(tmp_path, "m", model, config.format("input", "X") + config.format("output", "Y"))
    with Engine(tmp_path) as engine:
        assert engine.model_ready("m") is loads
        if not loads:
            assert "does not say how many dimensions" in engine.repository_index().models[0].reason


# --- the end ---


def test_what_drains_is_answered_before_the_end(repository: Path):
    """Requests of a model that was unloaded or replaced meanwhile."""
    write_model(repository, "slow", onnx_models.slow_identity())
    write_model(repository, "gone", onnx_models.slow_identity())
    engine = Engine(repository)
    engine.start()
    answers: list[object] = []
    for name in ("slow", "gone") * 3:
        engine.submit(InferenceRequest(name, dict(SLOW), reply=answers.append))
    engine.unload("gone")
    os.utime(repository / "slow" / "1" / "model.onnx", ns=(1, 1))
    engine.load("slow")
    assert states(engine)["gone/1"] in ("UNLOADING", "UNAVAILABLE")
    assert engine.shutdown(timeout=60) is True
    assert [answer.error for answer in answers] == [None] * 6
    with pytest.raises(UnavailableError, match="Server exiting"):
        engine.infer("slow", SLOW)


def test_an_idle_engine_needs_no_time_to_end(tmp_path: Path):
    for index in range(60):
        write_model(tmp_path, f"idle{index}", MODEL)
    engine = Engine(tmp_path)
    engine.start()
    assert len(engine.models()) == 60
    start = time.monotonic()
    assert engine.shutdown(timeout=0) is True
    assert time.monotonic() - start < 10
    until(lambda: not any(thread.name.startswith("idle") for thread in threading.enumerate()))


def test_an_end_that_comes_too_soon_says_so(repository: Path):
    write_model(repository, "slow", onnx_models.slow_identity())
    engine = Engine(repository)
    engine.start()
    answers: list[object] = []
    for _ in range(4):
        engine.submit(InferenceRequest("slow", dict(SLOW), reply=answers.append))
    assert engine.shutdown(timeout=0) is False
    until(lambda: len(answers) == 4)


# --- starting ---


def test_a_repository_that_is_named_twice_is_one(repository: Path):
    with Engine(repository, repository) as engine:
        assert states(engine) == {"add_sub/1": "READY"}


def test_duplicates_and_an_empty_repository_start(repository: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    with Engine(other) as engine:
        assert engine.ready()
    write_model(other, "add_sub", MODEL)
    with Engine(repository, other, options=EXPLICIT) as engine:
        assert engine.ready()
        with pytest.raises(InternalError, match="in several repositories"):
            engine.load("add_sub")
    with Engine(repository, other) as engine:
        assert not engine.ready()
        (row,) = engine.repository_index().models
        assert (row.state, row.reason) == ("UNAVAILABLE", "model appears in two or more repositories")


def test_a_missing_repository_starts_where_errors_are_no_reason_to_end(tmp_path: Path):
    with pytest.raises(NotFoundError):
        Engine(tmp_path / "nope")
    with Engine(tmp_path / "nope", options=EngineOptions(exit_on_error=False)) as engine:
        assert (engine.live(), engine.ready()) == (False, False)
        assert engine.server_metadata().name == "triton"
        with pytest.raises(UnavailableError, match="Server not ready"):
            engine.infer("add_sub", PAIR)


def test_without_auto_completion_a_folder_without_configuration_is_ignored(repository: Path):
    write_model(repository, "told", MODEL, add_sub_config("told").replace('label_filename: "labels.txt"', ""))
    with Engine(repository, options=EngineOptions(auto_complete_config=False)) as engine:
        assert engine.ready()
        assert states(engine) == {"told/1": "READY"}


def test_one_unnamed_instance_group_is_named_by_its_model(engine: Engine):
    engine.load("add_sub")
    assert engine.model_config("add_sub").instance_group[0].name == "add_sub_0"
