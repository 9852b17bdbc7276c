"""Finds the node of an ONNX graph that a batch does not pass, or that mixes its items."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from tcli_server.backends.onnxruntime.file_runner import FileRunner
from tcli_server.datatypes import BY_DTYPE
from tcli_server.trial import RunError
from tcli_server.trial.items import SMALL, random_items
from tcli_server.trial.rounding import difference, is_off_by_one, is_real, tolerance


def mixing_node(file: Path, shapes: Mapping[str, Sequence[int]]) -> str:
    """The first node whose answer to two items is not the two answers, in words; empty where none can be found.

    Args:
        shapes: of an item that runs, by input, without the batch dimension.
    """
    try:
        model = onnx.load(file, load_external_data=False)
        producers = {name: node for node in model.graph.node for name in node.output if name}
        have = {value.name for value in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in producers if name not in have)
        runner = FileRunner(model.SerializeToString())
        items = random_items(runner.inputs(shapes), shapes, 2, SMALL)
        singles = [runner.outputs([item]) for item in items]
    except Exception:  # external weights, 2 GiB, kinds that cannot be outputs: do without the name
        return ""
    try:
        together = runner.outputs(items)
    except RunError as error:
        return _failing(str(error))
    for name, node in producers.items():
        one, two = singles[0][name], singles[1][name]
        if not isinstance(one, np.ndarray) or one.dtype not in BY_DTYPE or one.dtype.hasobject or not one.ndim:
            continue
        is_constant = difference(together[name], one) == 0
        if not is_constant and not _is_kept(together[name], one, two):
            return f"node '{node.name or node.output[0]}' ({node.op_type}) does not keep the items apart"
    return ""


def _is_kept(together: np.ndarray, one: np.ndarray, two: np.ndarray) -> bool:
    """Whether a tensor of two items is those of each, one behind the other along any axis."""
    axes = [axis for axis, size in enumerate(one.shape) if together.shape == _doubled(one.shape, axis) and size]
    for axis in axes:
        both = np.concatenate([one, two], axis)
        if is_off_by_one(together, both) or difference(together, both) <= tolerance(one.dtype):
            return True
    return not axes and not is_real(one.dtype)  # sizes and places, which a model computes from its shapes


def _doubled(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])


def _failing(text: str) -> str:
    """The node that ONNX Runtime's message names; empty where it names none."""
    running = re.search(r"running (\w+) node\. Name:\s?'([^']*)'", text)
    if running is not None:
        return f"node '{running[2]}' ({running[1]}) does not take a batch"
    node = re.search(r"Node \(([^)]*)\) Op \((\w+)\)", text)
    return f"node '{node[1]}' ({node[2]}) does not take a batch" if node is not None else ""
