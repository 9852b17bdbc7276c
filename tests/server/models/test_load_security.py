"""What a load request, or a configuration, must not reach."""

import json
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

import onnx_models
from ensemble_models import ensemble, write_ensemble
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import ServerError
from tcli_server.repository.layout import find_model


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


@pytest.mark.parametrize("name", ["../outside", "add_sub/../../outside", "..", "add_sub/..", "a\\b", "a\0b"])
def test_no_name_of_a_model_or_of_a_step_leaves_the_repository(tmp_path: Path, name: str):
    """A configuration outside must not even be read: it could name models to load."""
    repository = tmp_path / "models"
    write_model(repository, "add_sub", onnx_models.add_sub())
    (repository / "pipe" / "1").mkdir(parents=True)
    write_ensemble(tmp_path, "outside", ensemble(["A"], ["S"], [("add_sub", {"INPUT0": "A"}, {"OUTPUT0": "S"})]))
    override = ModelConfig(platform="ensemble")
    override.ensemble_scheduling.step.add(model_name=name, input_map={"X": "A"}, output_map={"Y": "S"})
    with Engine(repository, options=EngineOptions(model_control_mode="explicit")) as engine:
        with pytest.raises(ServerError):
            engine.load(name)
        with pytest.raises(ServerError):
            engine.load("pipe", override)
        assert not engine.model_ready("add_sub")
    assert find_model([repository], name) == []
