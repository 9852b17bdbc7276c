"""Whether a new model is to be batched: by the names of its dimensions, and by running items alone and together."""

import re
from collections.abc import Iterator
from pathlib import Path

import onnx

from tcli_server.backends.onnxruntime.batch_proof import check_batching
from tcli_server.errors import InvalidArgumentError
from tcli_server.signature import ModelSignature

DEFAULT_MAX_BATCH_SIZE = 8

_CHECKED_SIZES = (2, 3)
_BATCH_NAME = re.compile(r"n|b|bs|.*batch.*", re.IGNORECASE)
_SEQUENCE_NAME = re.compile(r"t|l|(.*[^a-z])?(seq|time|step|len|frame|token|word|char)\w*", re.IGNORECASE)
_ONE_SCALE_OPERATORS = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
"""Operators that quantize a whole tensor, all items of a batch in it, with one scale that they work out from it."""


def choose_max_batch_size(
    file: Path, model: onnx.ModelProto, signature: ModelSignature, wanted: int | None
) -> tuple[int, list[str]]:
    """The max_batch_size for a new model, and what its reader must know about that.

    Args:
        file: where `model` was read from.
        wanted: what the user asked for; None for 8 where batches are right and 0 otherwise.

    Raises:
        InvalidArgumentError: the model cannot have the size that is wanted.
    """
    if wanted is not None and wanted < 0:
        raise InvalidArgumentError(f"max_batch_size is {wanted}: use 0 for no batching, or the largest batch")
    if wanted == 0:
        return 0, []
    fixed = next((tensor for tensor in (*signature.inputs, *signature.outputs) if not tensor.batchable), None)
    if fixed is not None:
        reason = f"'{fixed.name}' has shape {list(fixed.shape)}, its first dimension does not vary"
        if wanted is not None:
            raise InvalidArgumentError(f"the model cannot batch: {reason}. Leave --max-batch-size out or give 0")
        return 0, [f"max_batch_size is 0: {reason}"]
    doubt = _doubt_by_names(model.graph, signature) or _doubt_by_operators(model)
    unproven = ""
    if not doubt:
        verdict = check_batching(
            file, file, {tensor.name: tensor.shape[1:] for tensor in signature.inputs}, _CHECKED_SIZES
        )
        if verdict.outcome == "unchecked":
            unproven = f"whether a batch gives what its items give alone could not be checked: {verdict.reason}"
            doubt = "" if _called_batch(model.graph, signature) else unproven
        elif verdict.outcome == "wrong":
            doubt = f"a batch is not what its items are alone: {verdict.reason}"
    if wanted is not None:
        return wanted, [
            f"max_batch_size is {wanted} as asked for, but {doubt or unproven}"
        ] if doubt or unproven else []
    if doubt:
        return 0, [f"max_batch_size is 0: {doubt}; --max-batch-size N sets another"]
    if unproven:
        return DEFAULT_MAX_BATCH_SIZE, [
            f"max_batch_size is {DEFAULT_MAX_BATCH_SIZE} by the names of the dimensions only: {unproven}"
        ]
    return DEFAULT_MAX_BATCH_SIZE, []


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


def _called_batch(graph: onnx.GraphProto, signature: ModelSignature) -> bool:
    inputs = {tensor.name for tensor in signature.inputs}
    named = [names for tensor, names in _named_dimensions(graph.input, signature) if tensor in inputs]
    return bool(named) and all(_BATCH_NAME.fullmatch(names[0]) for names in named)


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
