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


WIDE, TWO = ("X", TensorProto.FLOAT, [8, 1, 4]), ("N", TensorProto.INT64, [2])
ONE_LENGTH = ("N", TensorProto.INT32, [1])
DECIDED_BY_A_CLIENT = {
    "Reshape": (
        (FLOATS, TWO),
        [helper.make_node("Reshape", ["X", "N"], ["R"]), helper.make_node("Add", ["X", "R"], ["Y"])],
    ),
    "Slice": ((FLOATS, COUNT), [helper.make_node("Slice", ["X", "NONE", "N"], ["Y"])]),
    "Unsqueeze": ((FLOATS, COUNT), [helper.make_node("Unsqueeze", ["X", "N"], ["Y"])]),
    "ReduceSum": ((FLOATS, COUNT), [helper.make_node("ReduceSum", ["X", "N"], ["Y"])]),
    "Split": ((FLOATS, TWO), [helper.make_node("Split", ["X", "N"], ["Y", "Z"])]),
    "LSTM": (
        (WIDE, ONE_LENGTH),
        [helper.make_node("LSTM", ["X", "WEIGHTS", "MORE", "", "N"], ["Y"], hidden_size=4)],
    ),
    "Slice by something computed": (
        (FLOATS, COUNT),
        [helper.make_node("Neg", ["N"], ["M"]), helper.make_node("Slice", ["X", "M", "NONE"], ["Y"])],
    ),
}
DECIDED_BY_SHAPES = [
    helper.make_node("Shape", ["X"], ["SHAPE"]),
    helper.make_node("Constant", [], ["LAST"], value=numpy_helper.from_array(np.array([-1]))),
    helper.make_node("Concat", ["LAST", "SHAPE"], ["NEW"], axis=0),
    helper.make_node("Reshape", ["X", "NEW"], ["R"]),
    helper.make_node("Slice", ["R", "NONE", "SHAPE"], ["Y"]),
]


def _write_nodes(repository: Path, inputs: tuple, nodes: list[onnx.NodeProto]) -> None:
    weights = {
        "NONE": np.array([0]),
        "WEIGHTS": np.ones((1, 16, 4), np.float32),
        "MORE": np.ones((1, 16, 4), np.float32),
    }
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [onnx.ValueInfoProto(name="Y", type=helper.make_tensor_type_proto(TensorProto.FLOAT, None))],
        initializer=[numpy_helper.from_array(value, name) for name, value in weights.items() if name in used],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET)
    write_model(repository, "m", model.SerializeToString(), 'platform: "onnxruntime_onnx"')


@pytest.mark.parametrize("what", DECIDED_BY_A_CLIENT)
def test_a_model_whose_shapes_a_client_decides_is_not_steady(what: str, tmp_path: Path):
    """A vector made a column and added to itself is a matrix; a part of a tensor takes less than the whole."""
    _write_nodes(tmp_path, *DECIDED_BY_A_CLIENT[what])
    with Engine(tmp_path) as engine:
        assert not _steady(engine)


def test_shapes_that_follow_from_others_are_steady(tmp_path: Path):
    _write_nodes(tmp_path, (FLOATS,), DECIDED_BY_SHAPES)
    with Engine(tmp_path) as engine:
        assert engine.infer("m", {"X": np.ones(4, np.float32)}).outputs["Y"].shape == (1, 4)
        assert _steady(engine)


def test_operators_side_by_side_are_not_steady(tmp_path: Path):
    """The thread that runs the model only waits for others then: its own time tells nothing."""
    config = 'platform: "onnxruntime_onnx" parameters { key: "execution_mode" value { string_value: "%d" } }'
    for parallel in (False, True):
        write_model(tmp_path, "m", onnx_models.add_sub(), config % parallel)
        with Engine(tmp_path) as engine:
            assert _steady(engine) is not parallel


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
