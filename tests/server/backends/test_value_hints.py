"""What ONNX files say of the whole numbers that they take."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import choosy_models
import onnx_models
from tcli_server.backends.onnxruntime.values import graph_values, read_values
from tcli_server.backends.value_hint import ValueHint
from tcli_server.errors import ServerError


def written(folder: Path, model: bytes) -> Path:
    (folder / "model.onnx").write_bytes(model)
    return folder / "model.onnx"


def test_the_rows_of_a_table(tmp_path: Path):
    assert read_values(written(tmp_path, choosy_models.table(50))) == {"IDS": ValueHint(49)}
    assert read_values(written(tmp_path, choosy_models.table(50, hidden=True))) == {}


def test_values_that_are_compared_with(tmp_path: Path):
    assert read_values(written(tmp_path, choosy_models.knows(7, 9))) == {"MODE": ValueHint(-1, (7, 9))}


def test_other_models_say_nothing(tmp_path: Path):
    assert read_values(written(tmp_path, onnx_models.add_sub())) == {}
    with pytest.raises(ServerError, match="ONNX"):
        read_values(written(tmp_path, b"no model"))


def graph(nodes: list, weights: dict[str, np.ndarray]) -> dict[str, ValueHint]:
    ids = helper.make_tensor_value_info("IDS", TensorProto.INT64, ["N"])
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    return dict(graph_values(helper.make_graph(nodes, "g", [ids], [output], held)))


SMALL, LARGE = np.ones((4, 2), np.int8), np.ones((9, 2), np.float32)


def test_the_smallest_of_several_tables_counts():
    nodes = [helper.make_node("Gather", [table, "IDS"], [table + "_Y"]) for table in ("LARGE", "SMALL", "LARGE")]
    assert graph(nodes, {"SMALL": SMALL, "LARGE": LARGE}) == {"IDS": ValueHint(3)}


def test_a_quantized_table_and_reshaped_ids():
    nodes = [
        helper.make_node("Cast", ["SMALL"], ["REAL"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["REAL", "SCALE"], ["ROWS"]),
        helper.make_node("Unsqueeze", ["IDS", "ZERO"], ["A"]),
        helper.make_node("Gather", ["A", "ZERO"], ["B"]),
        helper.make_node("Gather", ["ROWS", "B"], ["Y"], axis=0),
    ]
    weights = {"SMALL": SMALL, "SCALE": np.ones((1, 2), np.float32), "ZERO": np.array([0])}
    assert graph(nodes, weights) == {"IDS": ValueHint(3)}


def test_another_axis():
    node = helper.make_node("Gather", ["LARGE", "IDS"], ["Y"], axis=-1)
    assert graph([node], {"LARGE": LARGE}) == {"IDS": ValueHint(1)}


def test_tables_in_branches():
    inner = helper.make_graph(
        [helper.make_node("Gather", ["SMALL", "IDS"], ["Z"])],
        "inner",
        [],
        [helper.make_tensor_value_info("Z", TensorProto.INT8, None)],
    )
    node = helper.make_node("If", ["FLAG"], ["Y"], then_branch=inner, else_branch=inner)
    assert graph([node], {"SMALL": SMALL, "FLAG": np.array(True)}) == {"IDS": ValueHint(3)}


def test_computed_ids_are_not_the_inputs():
    nodes = [helper.make_node("Add", ["IDS", "IDS"], ["A"]), helper.make_node("Gather", ["SMALL", "A"], ["Y"])]
    assert graph(nodes, {"SMALL": SMALL}) == {}
