"""Replaces a repetition (Tile) that OpenVINO computes wrong: where the counts come with the request, and three axes or more
behind the first are repeated, its CPU plugin does not write all of the output. What is left there is memory of other requests.

Two such axes at a time are right, and so are counts that the model itself holds.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from tcli_server.backends.model_file import ModelFileError

_RIGHT_RANK = 3
_RIGHT_AXES = 2


def replace_tiles(graph: ov.Model, file: Path) -> None:
    """Repeat a few axes after the others instead, also within branches and loops.

    Raises:
        ModelFileError: how many axes there are is not known before a request comes.
    """
    for node in graph.get_ordered_ops():
        for body in _bodies(node):
            replace_tiles(body, file)
        if node.get_type_name() == "Tile" and node.input_value(1).get_node().get_type_name() != "Constant":
            _replace(node, file)


def _bodies(node: ov.Node) -> Iterator[ov.Model]:
    kind = node.get_type_name()
    if kind == "If":
        yield from (node.get_function(0), node.get_function(1))
    elif kind in ("Loop", "TensorIterator"):
        yield node.get_function()


def _replace(node: ov.Node, file: Path) -> None:
    array, counts = node.input_value(0), node.input_value(1)
    rank, length = array.get_partial_shape().rank, counts.get_partial_shape()
    if rank.is_dynamic or length.is_dynamic:
        raise ModelFileError(
            file,
            "a model in which the rank of every tensor that is repeated (Tile) is known",
            f"'{node.get_friendly_name()}', which repeats a tensor of any rank: OpenVINO may answer with memory of others",
            "export it with constant repeats or fixed ranks, or serve its ONNX file with the backend 'onnxruntime'",
        )
    given, axes = rank.get_length(), max(rank.get_length(), length.get_dimension(0).get_length())
    if axes <= _RIGHT_RANK:
        return
    kind = counts.get_element_type().to_dtype()
    if given < axes:
        array = ops.unsqueeze(array, np.arange(axes - given)).output(0)
    ones = np.ones(axes - length.get_dimension(0).get_length(), kind)
    if ones.size:
        counts = ops.concat([ops.constant(ones), counts], 0).output(0)
    for first in range(0, axes, _RIGHT_AXES):
        chosen = (np.arange(axes) // _RIGHT_AXES) == first // _RIGHT_AXES
        array = ops.tile(array, ops.select(chosen, counts, np.ones(axes, kind))).output(0)
    old = node.output(0)
    array.get_node().set_friendly_name(node.get_friendly_name())
    names = old.get_names()
    old.replace(array)
    array.set_names(names)
