"""What passes through ONNX Runtime unchanged."""

from pathlib import Path

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnx_models import OPSET
from repositories import write_model
from tcli_server import Engine


def test_a_bfloat16_number_reaches_the_model_as_a_number(tmp_path: Path) -> None:
    """OUTPUT0 = INPUT0, a scalar, with a dimension more."""
    axis = numpy_helper.from_array(np.array([0]), "AXIS")
    graph = helper.make_graph(
        [helper.make_node("Unsqueeze", ["INPUT0", "AXIS"], ["OUTPUT0"])],
        "scalar",
        [helper.make_tensor_value_info("INPUT0", TensorProto.BFLOAT16, [])],
        [helper.make_tensor_value_info("OUTPUT0", TensorProto.BFLOAT16, [None])],
        [axis],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=OPSET).SerializeToString()
    write_model(tmp_path, "scalar", model)
    with Engine(tmp_path) as engine:
        answer = engine.infer("scalar", {"INPUT0": np.full(1, 3, ml_dtypes.bfloat16)}).outputs["OUTPUT0"]
    assert answer.shape == (1,)
    assert answer.tolist() == [3]
