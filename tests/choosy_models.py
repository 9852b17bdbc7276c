"""ONNX models that take only certain sizes and values."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import onnx_models


def _model(nodes: list, inputs: dict, weights: dict, kind: int = TensorProto.FLOAT) -> bytes:
    infos = [helper.make_tensor_value_info(name, *given) for name, given in inputs.items()]
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "choosy", infos, [helper.make_tensor_value_info("Y", kind, None)], held)
    graph.output[0].type.tensor_type.shape.SetInParent()
    graph.output[0].type.tensor_type.shape.dim.add().dim_param = "N"
    graph.output[0].type.tensor_type.shape.dim.add().dim_param = "M"
    return helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()


def pools(width: int = 4) -> bytes:
    """Y = the mean of every `width` neighbours of X [N, M], where M is a multiple of that."""
    nodes = [
        helper.make_node("Reshape", ["X", "GROUPS"], ["A"]),
        helper.make_node("ReduceMean", ["A"], ["Y"], axes=[2], keepdims=0),
    ]
    return _model(nodes, {"X": (TensorProto.FLOAT, ["N", "M"])}, {"GROUPS": np.array([0, -1, width])})


def table(rows: int, kind: int = TensorProto.INT64, hidden: bool = False) -> bytes:
    """Y = the sums of rows of a table at IDS [N, M]; hidden: the table is computed, so that its size is not in the file."""
    nodes = [
        helper.make_node("Cast", ["IDS"], ["PLACES"], to=TensorProto.INT64),
        helper.make_node("Gather", ["TABLE", "PLACES"], ["FOUND"]),
        helper.make_node("ReduceSum", ["FOUND", "LAST"], ["Y"], keepdims=0),
    ]
    weights = {"TABLE": np.ones((rows, 3), np.float32), "LAST": np.array([2])}
    if hidden:
        nodes.insert(0, helper.make_node("Slice", ["WHOLE", "ZERO", "ROWS", "ZERO"], ["TABLE"]))
        weights["WHOLE"] = np.ones((rows + 5, 3), np.float32)
        weights["ZERO"], weights["ROWS"] = np.array([0]), np.array([rows])
        del weights["TABLE"]
    return _model(nodes, {"IDS": (kind, ["N", "M"])}, weights)


def knows(*values: int, name: str = "MODE") -> bytes:
    """Y = X [N, M] if every element of an input [N, 1] is one of some values; else it fails."""
    nodes = []
    for number, value in enumerate(values):
        nodes.append(helper.make_node("Constant", [], [f"C{number}"], value_int=value))
        nodes.append(helper.make_node("Equal", [name, f"C{number}"], [f"E{number}"]))
    known = "E0"
    for number in range(1, len(values)):
        nodes.append(helper.make_node("Or", [known, f"E{number}"], [f"O{number}"]))
        known = f"O{number}"
    nodes += [
        helper.make_node("Cast", [known], ["INT"], to=TensorProto.INT64),
        helper.make_node("Sub", ["ONE", "INT"], ["PLACE"]),  # 0 where it is known, else out of bounds
        helper.make_node("Mul", ["PLACE", "NINE"], ["FAR"]),
        helper.make_node("Gather", ["ROW", "FAR"], ["ZERO"]),
        helper.make_node("Add", ["X", "ZERO"], ["Y"]),
    ]
    weights = {"ONE": np.array(1), "NINE": np.array(9), "ROW": np.zeros(2, np.float32)}
    inputs = {"X": (TensorProto.FLOAT, ["N", "M"]), name: (TensorProto.INT64, ["N", 1])}
    return _model(nodes, inputs, weights)


def never() -> bytes:
    """Fails on everything."""
    nodes = [
        helper.make_node("Cast", ["X"], ["A"], to=TensorProto.INT64),
        helper.make_node("Mul", ["A", "ZERO"], ["B"]),
        helper.make_node("Add", ["B", "NINE"], ["C"]),
        helper.make_node("Gather", ["ROW", "C"], ["Y"]),
    ]
    weights = {"ZERO": np.array(0), "NINE": np.array(9), "ROW": np.zeros(2, np.float32)}
    return _model(nodes, {"X": (TensorProto.FLOAT, ["N", "M"])}, weights)
