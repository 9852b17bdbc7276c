"""Model files and folders that are not what they should be, and tensors without dimensions."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.check import check_repository

PAIR = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
MODEL = onnx_models.add_sub()


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
