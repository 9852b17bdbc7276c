"""What an ONNX file says of its batches: by the names of its dimensions, and by its operators."""

import re
from collections.abc import Iterator

import onnx

from tcli_server.signature import ModelSignature

_BATCH_NAME = re.compile(r"n|b|bs|.*batch.*", re.IGNORECASE)
_SEQUENCE_NAME = re.compile(r"t|l|(.*[^a-z])?(seq|time|step|len|frame|token|word|char)\w*", re.IGNORECASE)
_ONE_SCALE_OPERATORS = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
"""Operators that quantize a whole tensor, all items of a batch in it, with one scale that they work out from it."""


def batch_doubt(model: onnx.ModelProto, signature: ModelSignature) -> str:
    """Why batches are wrong, or the first dimensions are probably no batch; empty where nothing says so."""
    return _doubt_by_names(model.graph, signature) or _doubt_by_operators(model)


def names_batch(graph: onnx.GraphProto, signature: ModelSignature) -> bool:
    """Whether the first dimension of every input is called a batch."""
    inputs = {tensor.name for tensor in signature.inputs}
    named = [names for tensor, names in _named_dimensions(graph.input, signature) if tensor in inputs]
    return bool(named) and all(_BATCH_NAME.fullmatch(names[0]) for names in named)


def _doubt_by_names(graph: onnx.GraphProto, signature: ModelSignature) -> str:
    """Why the first dimensions are probably no batch; empty where the names do not contradict it."""
    ends = list(_named_dimensions((*graph.input, *graph.output), signature))
    inputs = {tensor.name for tensor in signature.inputs}
    for tensor, names in ends:
        first, *others = names
        elsewhere = next((axis for axis, name in enumerate(others, 1) if _BATCH_NAME.fullmatch(name)), None)
        if elsewhere is not None and not _BATCH_NAME.fullmatch(first):
            return (
                f"'{tensor}' has its batch on axis {elsewhere} ('{names[elsewhere]}'), and a server joins requests "
                "along the first"
            )
        if tensor in inputs and _SEQUENCE_NAME.fullmatch(first) and not _BATCH_NAME.fullmatch(first):
            return f"the first dimension of '{tensor}' is called '{first}', which is no batch"
    firsts = sorted({names[0] for tensor, names in ends if tensor in inputs and names[0]})
    if len(firsts) > 1:
        return (
            f"the inputs' first dimensions have different names ({', '.join(firsts)}), so they are probably no batch "
            "dimension"
        )
    return ""


def _doubt_by_operators(model: onnx.ModelProto) -> str:
    node = next((node for node in _nodes(model) if node.op_type in _ONE_SCALE_OPERATORS), None)
    if node is None:
        return ""
    return (
        f"the model is dynamically quantized ({node.op_type}): one scale counts for a whole batch, so an item's answer "
        "depends on what it is batched with"
    )


def _named_dimensions(
    values: "tuple[onnx.ValueInfoProto, ...] | list[onnx.ValueInfoProto]", signature: ModelSignature
) -> Iterator[tuple[str, list[str]]]:
    """Each input and output of the signature with its dimensions' names, empty for one that has none."""
    known = {tensor.name for tensor in (*signature.inputs, *signature.outputs)}
    for value in values:
        dims = value.type.tensor_type.shape.dim
        if value.name in known and dims:
            yield value.name, [dim.dim_param for dim in dims]


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node of the model, of the graphs inside its nodes and of its functions."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                waiting.extend(graph.node)
