"""ONNX models that can be taken for batchable, and why they are not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str | None]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Dims],
    outputs: dict[str, Dims],
    constants: Sequence[onnx.TensorProto] = (),
    kinds: dict[str, int] | None = None,
) -> Path:
    """A model whose tensors are FP32 but for those in `kinds`."""

    def infos(tensors: dict[str, Dims]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, (kinds or {}).get(name, TensorProto.FLOAT), list(shape))
            for name, shape in tensors.items()
        ]

    graph = helper.make_graph(list(nodes), "test", infos(inputs), infos(outputs), list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    return path


def floats(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.random.default_rng(3).standard_normal(shape).astype(np.float32), name)


def integers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def recurrent(path: Path, time: str | None = "seq_len", batch: str | None = "batch_size") -> Path:
    """x [time, batch, 3] -> LSTM -> y [time, batch, 4]: the batch is on axis 1."""
    nodes = [
        helper.make_node("LSTM", ["x", "W", "R"], ["Y"], name="lstm", hidden_size=4),
        helper.make_node("Squeeze", ["Y", "axis"], ["y"], name="drop_direction"),
    ]
    weights = [floats("W", 1, 16, 3), floats("R", 1, 16, 4), integers("axis", 1)]
    return save(path, nodes, {"x": [time, batch, 3]}, {"y": [time, batch, 4]}, weights)


def quantized(path: Path, features: int = 8) -> Path:
    """x [N, 8] -> DynamicQuantizeLinear, MatMulInteger -> y [N, 5]: one scale for the whole tensor."""
    weights = np.random.default_rng(3).integers(0, 255, size=(features, 5), dtype=np.uint8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"], name="quantize"),
        helper.make_node("MatMulInteger", ["q", "weights", "zero"], ["product"], name="product"),
        helper.make_node("Cast", ["product"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "scale"], ["y"], name="rescale"),
    ]
    return save(path, nodes, {"x": ["N", features]}, {"y": ["N", 5]}, [numpy_helper.from_array(weights, "weights")])


def normalizes_over_the_batch(path: Path, batch: str | None = "N") -> Path:
    """x [N, 4] minus its mean over the batch."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], name="over_the_batch", axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["centered"], name="center"),
        helper.make_node("Add", ["centered", "x"], ["y"], name="add"),
    ]
    return save(path, nodes, {"x": [batch, 4]}, {"y": [batch, 4]})


def pools_four(path: Path) -> Path:
    """x [N, L] -> the maxima of four neighbours: L cannot be less than 4."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["u"]),
        helper.make_node("MaxPool", ["u"], ["p"], name="pool", kernel_shape=[4]),
        helper.make_node("Squeeze", ["p", "axis"], ["y"]),
    ]
    return save(path, nodes, {"x": ["N", "L"]}, {"y": ["N", "K"]}, [integers("axis", 1)])


def sound_features(path: Path) -> Path:
    """x [1, 16, 96] -> y [1, 1], the mean."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "axis"], ["y"]),
    ]
    return save(path, nodes, {"x": [1, 16, 96]}, {"y": [1, 1]}, [integers("axis", 1)])


def wants_large_numbers(path: Path, batch: str | None = "batch") -> Path:
    """x [batch, 4] by a table whose only row is 1000: random integers are out of its bounds."""
    nodes = [
        helper.make_node("Sub", ["x", "offset"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["y"], name="look_up"),
    ]
    constants = [integers("offset", 1000), floats("table", 1)]
    return save(path, nodes, {"x": [batch, 4]}, {"y": [batch, 4]}, constants, {"x": TensorProto.INT64})


def answers_always_the_same(path: Path) -> Path:
    """y [N, 4] = 0 times x, plus a constant."""
    nodes = [helper.make_node("Mul", ["x", "zero"], ["nothing"]), helper.make_node("Add", ["nothing", "bias"], ["y"])]
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    return save(path, nodes, {"x": ["N", 4]}, {"y": ["N", 4]}, [zero, floats("bias", 4)])


def config_of(name: str, max_batch_size: int, dims: str, output_dims: str, more: str = "") -> str:
    """A config.pbtxt for one input x and one output y."""
    return f"""
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: {max_batch_size}
input [ {{ name: "x" data_type: TYPE_FP32 dims: {dims} {more} }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: {output_dims} }} ]
"""


def write(repository: Path, name: str, build: Callable[[Path], Path], config: str) -> Path:
    """A repository of one model, with a configuration as somebody may have written it."""
    build(repository / name / "1" / "model.onnx")
    (repository / name / "config.pbtxt").write_text(config)
    return repository
