"""Which ONNX models may run in an event loop: only those whose run takes as long whatever values a client sends."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_models
from repositories import write_model
from tcli_server import Engine

FLOATS, COUNT = ("X", TensorProto.FLOAT, [4]), ("N", TensorProto.INT64, [1])


def _body() -> onnx.GraphProto:
    """A loop's body that counts."""
    return helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["x", "x"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [4]),
        ],
    )


UNSTEADY = {
    "Loop": helper.make_node("Loop", ["COUNT", "", "X"], ["Y"], body=_body()),
    "Range": helper.make_node("Range", ["ZERO", "COUNT", "ONE"], ["Y"]),
    "Expand": helper.make_node("Expand", ["X", "N"], ["Y"]),
    "Tile": helper.make_node("Tile", ["X", "N"], ["Y"]),
    "ConstantOfShape": helper.make_node("ConstantOfShape", ["N"], ["Y"]),
}


def _write(repository: Path, node: onnx.NodeProto) -> None:
    kind = TensorProto.INT64 if node.op_type == "Range" else TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Squeeze", ["N"], ["COUNT"]), node],
        "test",
        [helper.make_tensor_value_info(*each) for each in (FLOATS, COUNT)],
        [helper.make_tensor_value_info("Y", kind, ["n"] if node.op_type != "Loop" else [4])],
        initializer=[numpy_helper.from_array(np.array(value), name) for name, value in (("ZERO", 0), ("ONE", 1))],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET)
    write_model(repository, "m", model.SerializeToString(), 'platform: "onnxruntime_onnx"')


def _steady(engine: Engine) -> bool:
    return engine.model("m").instances[0].instance.steady


@pytest.mark.parametrize("operator", UNSTEADY)
def test_a_model_that_does_as_much_as_a_value_says_is_not_steady(operator: str, tmp_path: Path):
    _write(tmp_path, UNSTEADY[operator])
    with Engine(tmp_path) as engine:
        inputs = {"X": np.ones(4, np.float32), "N": np.array([4])}
        assert engine.infer("m", inputs).outputs["Y"].size >= 4
        assert not _steady(engine)


def test_arithmetic_is_steady_and_strings_are_not(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.add_sub(), 'platform: "onnxruntime_onnx"')
    with Engine(tmp_path) as engine:
        assert _steady(engine)
    write_model(tmp_path, "m", onnx_models.identity(TensorProto.STRING), 'platform: "onnxruntime_onnx"')
    with Engine(tmp_path) as engine:
        assert not _steady(engine)


def test_an_operator_that_nobody_here_knows_is_not_steady(tmp_path: Path):
    gelu = helper.make_node("Gelu", ["X"], ["Y"], domain="com.microsoft")
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "XY"]
    opsets = [*onnx_models.OPSET, helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([gelu], "test", info[:1], info[1:]), ir_version=8, opset_imports=opsets)
    write_model(tmp_path, "m", model.SerializeToString(), 'platform: "onnxruntime_onnx"')
    with Engine(tmp_path) as engine:
        assert not _steady(engine)
