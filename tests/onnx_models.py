"""Small ONNX models for the tests, built in memory."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = [helper.make_opsetid("", 17)]


def _model(nodes: list[onnx.NodeProto], inputs: dict, outputs: dict, kind: int, initializers: tuple = ()) -> bytes:
    def infos(tensors: dict) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, shape in tensors.items()]

    graph = helper.make_graph(nodes, "test", infos(inputs), infos(outputs), initializer=list(initializers))
    return helper.make_model(graph, ir_version=8, opset_imports=OPSET).SerializeToString()


def add_sub(kind: int = TensorProto.FLOAT, shape: tuple = ("N", 16)) -> bytes:
    """OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1."""
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
    ]
    shape = list(shape)
    return _model(nodes, {"INPUT0": shape, "INPUT1": shape}, {"OUTPUT0": shape, "OUTPUT1": shape}, kind)


def identity(kind: int = TensorProto.FLOAT, shape: tuple = ("N", 4)) -> bytes:
    """OUTPUT0 = INPUT0."""
    return _model(
        [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        {"INPUT0": list(shape)},
        {"OUTPUT0": list(shape)},
        kind,
    )


def constant(weights: np.ndarray) -> bytes:
    """OUTPUT0 = WEIGHTS + INPUT0, where INPUT0 is one float."""
    held = numpy_helper.from_array(weights, "WEIGHTS")
    node = helper.make_node("Add", ["INPUT0", "WEIGHTS"], ["OUTPUT0"])
    return _model([node], {"INPUT0": [1]}, {"OUTPUT0": list(weights.shape)}, TensorProto.FLOAT, (held,))


def table(weights: np.ndarray) -> bytes:
    """OUTPUT0 = the element of WEIGHTS at INPUT0, where both are one float."""
    held = numpy_helper.from_array(weights, "WEIGHTS")
    nodes = [
        helper.make_node("Cast", ["INPUT0"], ["PLACE"], to=TensorProto.INT64),
        helper.make_node("Gather", ["WEIGHTS", "PLACE"], ["OUTPUT0"]),
    ]
    return _model(nodes, {"INPUT0": [1]}, {"OUTPUT0": [1]}, TensorProto.FLOAT, (held,))


def product(weights: np.ndarray) -> bytes:
    """OUTPUT0 = relu(INPUT0 x WEIGHTS), rows by rows."""
    held = numpy_helper.from_array(weights, "WEIGHTS")
    nodes = [
        helper.make_node("MatMul", ["INPUT0", "WEIGHTS"], ["PRODUCT"]),
        helper.make_node("Relu", ["PRODUCT"], ["OUTPUT0"]),
    ]
    rows, columns = weights.shape
    return _model(nodes, {"INPUT0": ["N", rows]}, {"OUTPUT0": ["N", columns]}, TensorProto.FLOAT, (held,))


def slow_identity(rounds: int = 400, width: int = 256) -> bytes:
    """OUTPUT0 = INPUT0 ([N, 4] floats) after `rounds` wasteful matrix products; a model that takes a while."""
    ones = helper.make_tensor(
        "EYE", TensorProto.FLOAT, [width, width], [float(i % (width + 1) == 0) for i in range(width * width)]
    )
    names = ["EYE", *(f"P{index}" for index in range(rounds))]
    nodes = [helper.make_node("MatMul", [names[i], "BASE"], [names[i + 1]]) for i in range(rounds)]
    # BASE depends on the input, so that no optimizer computes the products at load time.
    nodes = [
        helper.make_node("ReduceSum", ["INPUT0"], ["SUM"], keepdims=0),
        helper.make_node("Mul", ["SUM", "ZERO"], ["NOTHING"]),
        helper.make_node("Add", ["EYE", "NOTHING"], ["BASE"]),
        *nodes,
        helper.make_node("ReduceMax", [names[-1]], ["ONE"], keepdims=0),
        helper.make_node("Mul", ["INPUT0", "ONE"], ["OUTPUT0"]),
    ]
    zero = helper.make_tensor("ZERO", TensorProto.FLOAT, [], [0.0])
    return _model(nodes, {"INPUT0": ["N", 4]}, {"OUTPUT0": ["N", 4]}, TensorProto.FLOAT, (ones, zero))


def picky(flat: bool = False) -> bytes:
    """OUTPUT0 = INPUT0 plus 3 fixed numbers: the file says any width, but only rows of 3 (or 1) floats work."""
    shape = ["M"] if flat else ["N", "M"]
    fixed = helper.make_tensor("FIXED", TensorProto.FLOAT, [3], [1, 2, 3])
    node = helper.make_node("Add", ["INPUT0", "FIXED"], ["OUTPUT0"])
    return _model([node], {"INPUT0": shape}, {"OUTPUT0": shape}, TensorProto.FLOAT, (fixed,))


def endless_to_load() -> bytes:
    """OUTPUT0 = INPUT0 ([N, 4] floats) plus a constant that an optimizer works out at load time, for hours."""
    rounds, width = 5000, 2000
    shape = helper.make_tensor("SHAPE", TensorProto.INT64, [2], [width, width])
    nodes = [
        helper.make_node("ConstantOfShape", ["SHAPE"], ["C0"]),
        *(helper.make_node("MatMul", [f"C{index}"] * 2, [f"C{index + 1}"]) for index in range(rounds)),
        helper.make_node("ReduceMax", [f"C{rounds}"], ["NOTHING"], keepdims=0),
        helper.make_node("Add", ["INPUT0", "NOTHING"], ["OUTPUT0"]),
    ]
    return _model(nodes, {"INPUT0": ["N", 4]}, {"OUTPUT0": ["N", 4]}, TensorProto.FLOAT, (shape,))


def save_with_external_weights(path: Path, location: str) -> None:
    """OUTPUT0 = INPUT0 + WEIGHTS, all [N, 4] floats, the weights in a file beside the model."""
    weights = numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(1, 4), "WEIGHTS")
    nodes = [helper.make_node("Add", ["INPUT0", "WEIGHTS"], ["OUTPUT0"])]
    content = _model(nodes, {"INPUT0": ["N", 4]}, {"OUTPUT0": ["N", 4]}, TensorProto.FLOAT, (weights,))
    model = onnx.load_from_string(content)
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)


def defaulted(rows: int = 1) -> bytes:
    """OUTPUT0 = INPUT0 + BIAS, OUTPUT1 = INPUT0 * SCALE, all [N, 3]; the file has `rows` rows for BIAS (10, 20, 30) and a 2."""
    bias = numpy_helper.from_array(np.tile(np.array([[10, 20, 30]], np.float32), (rows, 1)), "BIAS")
    scale = numpy_helper.from_array(np.full((1, 3), 2, np.float32), "SCALE")
    nodes = [
        helper.make_node("Add", ["INPUT0", "BIAS"], ["OUTPUT0"]),
        helper.make_node("Mul", ["INPUT0", "SCALE"], ["OUTPUT1"]),
    ]
    shape = ["N", 3]
    inputs = {"INPUT0": shape, "BIAS": shape, "SCALE": shape}
    return _model(nodes, inputs, {"OUTPUT0": shape, "OUTPUT1": shape}, TensorProto.FLOAT, (bias, scale))


def constant_of(count: int) -> bytes:
    """OUTPUT0 = INPUT0 + the last of `count` zeros, [N, 1] floats: a file of 4 bytes for each."""
    weights = numpy_helper.from_array(np.zeros(count, np.float32), "WEIGHTS")
    last = numpy_helper.from_array(np.array([count - 1], np.int64), "LAST")
    nodes = [
        helper.make_node("Gather", ["WEIGHTS", "LAST"], ["ZERO"]),
        helper.make_node("Add", ["INPUT0", "ZERO"], ["OUTPUT0"]),
    ]
    return _model(nodes, {"INPUT0": ["N", 1]}, {"OUTPUT0": ["N", 1]}, TensorProto.FLOAT, (weights, last))
