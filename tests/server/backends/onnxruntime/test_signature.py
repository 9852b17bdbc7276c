"""What is read off a file is what its session says when it is served."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnx_models import OPSET
from repositories import write_model
from tcli_server import Engine
from tcli_server.backends.onnxruntime.signature import read_session_signature


def reshaping() -> bytes:
    """OUTPUT0 = INPUT0 ([4]) as [1, 1, 4], which only he knows who multiplies two constants."""
    constants = {"HALF": np.array([1, 1, 2]), "TWICE": np.array([1, 1, 2])}
    nodes = [
        helper.make_node("Mul", ["HALF", "TWICE"], ["SHAPE"]),
        helper.make_node("Reshape", ["INPUT0", "SHAPE"], ["OUTPUT0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "reshaping",
        [helper.make_tensor_value_info("INPUT0", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, [1, "some", 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return bytes(helper.make_model(graph, ir_version=8, opset_imports=OPSET).SerializeToString())


def test_sizes_that_follow_from_constants_are_known_before_a_model_is_served(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "reshaping", reshaping())
    (output,) = read_session_signature(folder / "1" / "model.onnx").outputs
    with Engine(tmp_path) as engine:
        (served,) = engine.model_metadata("reshaping").outputs
    assert list(served.shape) == [1, 1, 4]
    assert list(output.shape) == [1, 1, 4]
