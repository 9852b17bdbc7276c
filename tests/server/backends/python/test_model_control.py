"""`pb_utils.load_model`, `unload_model` and `is_model_ready`, on a real engine."""

import json
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from repositories import write_model
from tcli_server.backends.python.services import Services
from tcli_server.backends.python.stub import control, link
from tcli_server.backends.python.stub.errors import TritonModelException
from tcli_server.backends.python.stub.pb_utils import is_model_ready, load_model, unload_model
from tcli_server.engine import Engine
from tcli_server.options import EngineOptions
from waiting import until
from worker_wire import Wire

pytestmark = pytest.mark.usefixtures("wire")


def ready(name: str, version: str = "") -> bool:
    try:
        return is_model_ready(name, version)
    except TritonModelException:
        return False


def test_a_model_loads_and_unloads_another(engine: Engine, tmp_path: Path):
    write_model(tmp_path, "other", onnx_models.identity())
    assert is_model_ready("other") is False
    load_model(model_name="other")
    assert is_model_ready(model_name="other", model_version="1")
    assert engine.infer("other", {"INPUT0": np.ones((1, 4), np.float32)}).outputs["OUTPUT0"].sum() == 4
    assert is_model_ready("other", "2") is False
    unload_model("other", unload_dependents=True)
    until(lambda: not ready("other"))


def test_configuration_and_files_take_the_place_of_the_folder(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    model = onnx_models.add_sub()
    monkeypatch.setattr(control, "_PIECE", 1 + len(model) // 3)
    load_model(
        "pushed",
        json.dumps({"backend": "onnxruntime"}),
        {"file:1/model.onnx": model, "file:2/model.onnx": bytearray(model)},
    )
    assert ready("pushed")
    array = np.ones((1, 16), np.float32)
    assert engine.infer("pushed", {"INPUT0": array, "INPUT1": array}).outputs["OUTPUT0"].sum() == 32


def test_what_fails_says_so_and_changes_nothing(tmp_path: Path):
    write_model(tmp_path, "other", onnx_models.identity())
    load_model("other")
    with pytest.raises(TritonModelException, match=r"Failed to load model: .*nobody"):
        load_model("nobody")
    with pytest.raises(TritonModelException, match="Failed to load model: "):
        load_model("other", config='"parameters": {')
    with pytest.raises(TritonModelException, match="Failed to load model: "):
        load_model("other", "", {"file:1/model.onnx": b""})
    assert ready("other", "1")


@pytest.mark.parametrize(
    "files", [["a"], {"1/model.onnx": b""}, {3: b""}, {"file:1/model.onnx": "text"}, {"file:x": None}], ids=str
)
def test_files_are_bytes_by_path(files: object):
    with pytest.raises(TritonModelException, match="failed to load model 'm', files"):
        load_model("m", "{}", files)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["one", "-1", "1.0", "²"])
def test_versions_are_numbers(version: str):
    with pytest.raises(TritonModelException, match="version should be an integral value > 0"):
        is_model_ready("m", version)


def test_names_are_texts():
    for function in (load_model, unload_model, is_model_ready):
        with pytest.raises(TypeError, match="model_name: expected a str, found NoneType"):
            function(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="config: expected a str, found dict"):
        load_model("m", {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model_version: expected a str, found int"):
        is_model_ready("m", 1)  # type: ignore[arg-type]


def test_loading_needs_the_server_s_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_model(tmp_path, "other", onnx_models.identity())
    with Engine(tmp_path, options=EngineOptions(model_control_mode="none")) as engine:
        monkeypatch.setattr(link, "_link", Wire(Services("words", engine)))
        assert ready("other")
        for function in (load_model, unload_model):
            with pytest.raises(TritonModelException, match="start the server with --model-control-mode=explicit"):
                function("other")
        assert ready("other")


def test_unloading_says_what_is_known_at_once_to_be_against_it(engine: Engine):
    engine.shutdown()
    with pytest.raises(TritonModelException, match="Failed to unload model: "):
        unload_model("other")


def test_without_a_server_there_is_nothing_to_control(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(link, "_link", Wire(Services("words", None)))
    for function in (load_model, unload_model, is_model_ready):
        with pytest.raises(TritonModelException, match="only while a server runs the model that asks"):
            function("other")


def test_an_interrupted_upload_leaves_nothing_behind(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(control, "_PIECE", 1)
    left = iter(range(2))
    ask = wire.ask

    def interrupted(kind: str, body: dict[str, object]) -> dict[str, object]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return ask(kind, body)

    monkeypatch.setattr(wire, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_model("m", "{}", {"file:1/model.onnx": b"abcdef"})
    assert wire.services._control._uploads == {}
