"""ONNX models for ragged batches: they show each client all that the server made of the whole batch."""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

import onnx_models
from scheduled import HOUR_US

KINDS = {
    "COUNTS": "BATCH_ELEMENT_COUNT",
    "ENDS": "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "OFFSETS": "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "WIDEST": "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "SHAPES": "BATCH_ITEM_SHAPE",
    "FLAT": "BATCH_ITEM_SHAPE_FLATTEN",
}
"""Input of the model -> what the server fills it with."""


def ragged(kinds: Sequence[str] = tuple(KINDS), kind: int = TensorProto.INT32, state: bool = False) -> bytes:
    """X is a batch's elements, one request behind the other; the inputs of `kinds` tell of the batch.

    DOUBLE = X + X, as flat as X; SUM = each request's sum, [requests, 1]; SEEN_<input> = that input as one row for each
    request, [requests, all of its elements]. With `state`, TOTAL = TOTAL_OUT = TOTAL_IN + SUM.
    """
    nodes = [
        helper.make_node("Add", ["X", "X"], ["DOUBLE"]),
        # Sums of what lies between two offsets: differences of the running sum.
        helper.make_node("CumSum", ["X", "AXIS"], ["RUNNING"]),
        helper.make_node("Concat", ["ZERO", "RUNNING"], ["SUMS"], axis=0),
        helper.make_node("Gather", ["SUMS", "OFFSETS_64"], ["AT"]),
        helper.make_node("Slice", ["AT", "ONE", "MOST"], ["AT_ENDS"]),
        helper.make_node("Slice", ["AT", "NONE", "LAST"], ["AT_STARTS"]),
        helper.make_node("Sub", ["AT_ENDS", "AT_STARTS"], ["EACH"]),
        helper.make_node("Reshape", ["EACH", "COLUMN"], ["SUM"]),
        helper.make_node("Mul", ["SUM", "NOTHING"], ["ROWS_FLOAT"]),
        helper.make_node("Cast", ["OFFSETS"], ["OFFSETS_64"], to=TensorProto.INT64),
        helper.make_node("Cast", ["ROWS_FLOAT"], ["ROWS"], to=kind),
    ]
    for name in kinds:
        nodes += [
            helper.make_node("Reshape", [name, "ROW"], [f"{name}_ROW"]),
            helper.make_node("Add", [f"{name}_ROW", "ROWS"], [f"SEEN_{name}"]),
        ]
    constants = [
        from_array(np.array(0), "AXIS"),
        from_array(np.zeros(1, np.float32), "ZERO"),
        from_array(np.array(0, np.float32), "NOTHING"),
        *(
            from_array(np.array(value, np.int64), name)
            for name, value in {
                "ONE": [1],
                "NONE": [0],
                "LAST": [-1],
                "MOST": [1 << 40],
                "COLUMN": [-1, 1],
                "ROW": [1, -1],
            }.items()
        ),
    ]
    info = helper.make_tensor_value_info
    inputs = [
        info("X", TensorProto.FLOAT, ["E"]),
        *(info(name, kind, ["N", "D"] if name == "SHAPES" else [f"{name}_SIZE"]) for name in kinds),
    ]
    outputs = [
        info("DOUBLE", TensorProto.FLOAT, ["E"]),
        info("SUM", TensorProto.FLOAT, ["R", 1]),
        *(info(f"SEEN_{name}", kind, ["R", f"{name}_SEEN"]) for name in kinds),
    ]
    if state:
        nodes += [
            helper.make_node("Add", ["TOTAL_IN", "SUM"], ["TOTAL"]),
            helper.make_node("Identity", ["TOTAL"], ["TOTAL_OUT"]),
        ]
        inputs.append(info("TOTAL_IN", TensorProto.FLOAT, ["R", 1]))
        outputs += [info(name, TensorProto.FLOAT, ["R", 1]) for name in ("TOTAL", "TOTAL_OUT")]
    graph = helper.make_graph(nodes, "ragged", inputs, outputs, constants)
    return helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()


def config(
    kinds: Sequence[str] = tuple(KINDS),
    dims: str = "-1",
    together: int = 0,
    max_batch_size: int = 16,
    datatype: str = "INT32",
    more: str = "",
    x: str = "",
    double: str = "",
) -> str:
    """The configuration of `ragged`.

    Args:
        dims: of X, and of DOUBLE, which is divided as X was.
        together: a batch is waited for until it has so many inferences; 0 for no waiting.
        x, double: more about X and DOUBLE.
    """
    wait = f"preferred_batch_size: {together} max_queue_delay_microseconds: {HOUR_US}" if together else ""
    scheduler = f"dynamic_batching {{ {wait} }}" if max_batch_size else ""
    made = "".join(
        f'batch_input {{ kind: {KINDS[name]} target_name: "{name}" data_type: TYPE_{datatype} source_input: "X" }}\n'
        for name in kinds
    )
    seen = "".join(f'output {{ name: "SEEN_{name}" data_type: TYPE_{datatype} dims: [ -1 ] }}\n' for name in kinds)
    return f"""
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input {{ name: "X" data_type: TYPE_FP32 dims: [ {dims} ] allow_ragged_batch: true {x} }}
output {{ name: "SUM" data_type: TYPE_FP32 dims: [ 1 ] }}
output {{ name: "DOUBLE" data_type: TYPE_FP32 dims: [ {dims} ] {double} }}
{seen}{made}
batch_output {{ kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "DOUBLE" source_input: "X" }}
instance_group {{ count: 1 kind: KIND_CPU }}
{scheduler}
{more}
"""


def beside() -> bytes:
    """DOUBLE = X + X, flat; SAME = Y, [N, M]."""
    nodes = [helper.make_node("Add", ["X", "X"], ["DOUBLE"]), helper.make_node("Identity", ["Y"], ["SAME"])]
    shapes = {"X": ["E"], "DOUBLE": ["E"], "Y": ["N", "M"], "SAME": ["N", "M"]}
    tensors = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(nodes, "beside", [tensors["X"], tensors["Y"]], [tensors["SAME"], tensors["DOUBLE"]])
    return helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()
