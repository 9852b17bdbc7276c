"""ONNX models whose batch dimension is fixed at 1, as exporters write them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Node = onnx.NodeProto


def weights(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.random.default_rng(7).standard_normal(shape).astype(np.float32), name)


def ints(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def save(
    path: Path,
    nodes: Sequence[Node],
    input_shape: Sequence[int | str],
    output_shape: Sequence[int | str],
    constants: Sequence[onnx.TensorProto] = (),
    value_info: Sequence[onnx.ValueInfoProto] = (),
) -> Path:
    """A model from "x" to "y", both FP32."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(input_shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(output_shape))],
        list(constants),
        value_info=list(value_info),
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def classifier(path: Path, batch: int | str = 1) -> Path:
    """[1,2,4,4] -> convolution -> Reshape to the constant [1,48] -> product -> [1,5,1,1], as DenseNet ends."""
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["features"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["features", "flat"], ["row"], name="flatten"),
        helper.make_node("MatMul", ["row", "classes"], ["scores"], name="product"),
        helper.make_node("Reshape", ["scores", "tall"], ["y"], name="to_1x1"),
    ]
    first = 1 if batch == 1 else 0
    constants = [
        weights("kernel", 3, 2, 3, 3),
        ints("flat", first, 48),
        weights("classes", 48, 5),
        ints("tall", first, 5, 1, 1),
    ]
    stale = [helper.make_tensor_value_info("row", TensorProto.FLOAT, [batch, 48])]
    return save(path, nodes, [batch, 2, 4, 4], [batch, 5, 1, 1], constants, stale)


def transformer(path: Path) -> Path:
    """A class token concatenated with patches, heads split by a Reshape with -1, windows folded into the batch."""
    nodes = [
        helper.make_node("Reshape", ["x", "patches"], ["p"], name="to_patches"),
        helper.make_node("Concat", ["token", "p"], ["tokens"], name="add_token", axis=1),
        helper.make_node("Reshape", ["tokens", "heads"], ["h"], name="split_heads"),
        helper.make_node("Transpose", ["h"], ["ht"], name="heads_first", perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["ht", "windows"], ["w"], name="fold"),
        helper.make_node("Softmax", ["w"], ["s"], name="softmax", axis=-1),
        helper.make_node("Reshape", ["s", "unfold"], ["u"], name="unfold_heads"),
        helper.make_node("ReduceMean", ["u"], ["y"], name="mean", axes=[1, 2], keepdims=0),
    ]
    constants = [
        ints("patches", 1, 4, 8),
        weights("token", 1, 1, 8),
        ints("heads", 1, -1, 2, 4),
        ints("windows", 2, -1, 4),
        ints("unfold", 1, 2, 5, 4),
    ]
    return save(path, nodes, [1, 8, 4], [1, 4], constants)


def mixes_items(path: Path) -> Path:
    """A Softmax over the batch dimension: at batch 1 it is constant, so another term keeps answers apart."""
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centered"], name="center"),
        helper.make_node("ReduceMax", ["centered"], ["highest"], name="over_the_batch", axes=[0], keepdims=1),
        helper.make_node("Add", ["centered", "highest"], ["y"], name="add"),
    ]
    return save(path, nodes, [1, 4], [1, 4], [weights("mean", 1, 4)])


def squeezes(path: Path) -> Path:
    """Drops the batch dimension in the middle, which fails for any batch but 1."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Squeeze", ["r", "axis"], ["flat"], name="drop_batch"),
        helper.make_node("Unsqueeze", ["flat", "axis"], ["y"], name="add_batch"),
    ]
    return save(path, nodes, [1, 4], [1, 4], [ints("axis", 0)])


def ignores_input(path: Path) -> Path:
    """Answers the same whatever is asked."""
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["nothing"], name="mul"),
        helper.make_node("Add", ["nothing", "bias"], ["y"], name="add"),
    ]
    zero = numpy_helper.from_array(np.zeros([1], np.float32), "zero")
    return save(path, nodes, [1, 4], [1, 4], [zero, weights("bias", 4)])
