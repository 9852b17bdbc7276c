"""Stateful ONNX models for the tests: sums whose state the server keeps."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import onnx_models

SUM_CONFIG = """
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input {{ name: "INPUT" data_type: TYPE_INT32 dims: [ {dims} ] }}
output {{ name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1 ] }}
output {{ name: "SEEN" data_type: TYPE_INT32 dims: [ 4 ] }}
instance_group {{ count: {count} kind: KIND_CPU }}
sequence_batching {{
  {more}
  control_input {{ name: "START" control {{ kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }} }}
  control_input {{ name: "END" control {{ kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] }} }}
  control_input {{ name: "READY" control {{ kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] }} }}
  control_input {{ name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT32 }} }}
  state {{ input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: [ 1 ] {initial} }}
}}
"""


def sums(batches: bool = True) -> bytes:
    """OUTPUT = the sum of INPUT + the sum of what the sequence gave before; SEEN = START, END, READY, CORRID; all INT32."""
    shape = ["N", 1] if batches else [1]
    seen = ["N", 4] if batches else [4]
    nodes = [
        helper.make_node("ReduceSum", ["INPUT", "LAST"], ["NEW"]),
        helper.make_node("Add", ["NEW", "SUM_IN"], ["OUTPUT"]),
        helper.make_node("Identity", ["OUTPUT"], ["SUM_OUT"]),
        helper.make_node("Concat", ["START", "END", "READY", "CORRID"], ["SEEN"], axis=1 if batches else 0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, [*shape[:-1], "M"] if name == "INPUT" else shape)
        for name in ("INPUT", "START", "END", "READY", "CORRID", "SUM_IN")
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, seen if name == "SEEN" else shape)
        for name in ("OUTPUT", "SEEN", "SUM_OUT")
    ]
    last = numpy_helper.from_array(np.array([-1]), "LAST")
    graph = helper.make_graph(nodes, "sums", inputs, outputs, initializer=[last])
    return helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()


def sums_config(more: str = "", max_batch_size: int = 4, count: int = 1, initial: str = "", dims: str = "1") -> str:
    """The configuration of `sums`; `more` goes into sequence_batching, `initial` into the state."""
    return SUM_CONFIG.format(more=more, max_batch_size=max_batch_size, count=count, initial=initial, dims=dims)


def delayed_strings() -> bytes:
    """OUTPUT = OLD, the state; NEW, the next state, = INPUT; all of 2 strings."""
    nodes = [helper.make_node("Identity", ["OLD"], ["OUTPUT"]), helper.make_node("Identity", ["INPUT"], ["NEW"])]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.STRING, [2]) for name in names]
        for names in (("INPUT", "OLD"), ("OUTPUT", "NEW"))
    )
    graph = helper.make_graph(nodes, "delayed_strings", inputs, outputs)
    return helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()
