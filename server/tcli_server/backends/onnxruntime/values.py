"""Reads from an ONNX graph which whole numbers its inputs can be."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from tcli_server.backends.onnxruntime.graph import load_graph
from tcli_server.backends.value_hint import ValueHint

_SAME_VALUES = frozenset(
    ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice", "Expand", "Gather")
)
"""Operators that give values of their first input."""

_SAME_ROWS = frozenset(("Cast", "Identity", "DequantizeLinear"))
_ELEMENTWISE = frozenset(("Mul", "Add", "Sub"))
"""Operators with which quantized tables are made real numbers."""

_MOST_COMPARED = 8
_EMBEDDINGS = ((0, 2), (1, 4))
"""Of EmbedLayerNormalization: the place of ids, and that of their table."""


def read_values(path: Path) -> Mapping[str, ValueHint]:
    """By input; those that are not in it can be anything, as far as the graph says.

    Raises:
        ModelFileError: the file is no ONNX model.
    """
    return graph_values(load_graph(path).graph)


def graph_values(graph: onnx.GraphProto) -> Mapping[str, ValueHint]:
    """As `read_values`."""
    reading = _Reading(graph)
    for node in _nodes(graph):
        reading.read(node)
    return {
        name: ValueHint(reading.highs.get(name, -1), tuple(reading.compared.get(name, ())))
        for name in {**reading.highs, **reading.compared}
    }


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """In order, those of branches and loops after the node that has them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


class _Reading:
    def __init__(self, graph: onnx.GraphProto) -> None:
        weights = {tensor.name: tensor for tensor in graph.initializer}
        self._is: dict[str, str] = {value.name: value.name for value in graph.input if value.name not in weights}
        self._rows = {name: tuple(tensor.dims) for name, tensor in weights.items()}
        self._tensors = weights
        self.highs: dict[str, int] = {}
        self.compared: dict[str, list[int]] = {}

    def read(self, node: onnx.NodeProto) -> None:
        kind, taken, given = node.op_type, node.input, node.output
        if kind == "Constant":
            self._read_constant(node)
        elif kind in ("Gather", "GatherBlockQuantized") and len(taken) > 1:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            self._limit(taken[1], taken[0], axis)
        elif kind == "EmbedLayerNormalization":
            for ids, table in _EMBEDDINGS:
                if max(ids, table) < len(taken):
                    self._limit(taken[ids], taken[table], 0)
        elif kind == "Equal":
            self._compare(taken[0], taken[1])
            self._compare(taken[1], taken[0])
        if kind in _SAME_VALUES and taken and taken[0] in self._is:
            self._is[given[0]] = self._is[taken[0]]
        if kind in _ELEMENTWISE and all(name in self._rows for name in taken):
            with contextlib.suppress(ValueError):  # no shapes that go together: not ours to say
                self._rows[given[0]] = np.broadcast_shapes(*(self._rows[name] for name in taken))
        if kind in _SAME_ROWS and taken and taken[0] in self._rows:
            self._rows[given[0]] = self._rows[taken[0]]
        if kind in _SAME_ROWS and taken and taken[0] in self._tensors and kind != "DequantizeLinear":
            self._tensors[given[0]] = self._tensors[taken[0]]

    def _read_constant(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.name == "value":
                self._tensors[node.output[0]] = attribute.t
                self._rows[node.output[0]] = tuple(attribute.t.dims)
            elif attribute.name in ("value_int", "value_ints"):
                whole = np.array(attribute.i if attribute.name == "value_int" else attribute.ints, np.int64)
                self._tensors[node.output[0]] = numpy_helper.from_array(whole)

    def _limit(self, ids: str, table: str, axis: int) -> None:
        name, rows = self._is.get(ids), self._rows.get(table)
        if name is not None and rows and -len(rows) <= axis < len(rows) and rows[axis] > 0:
            self.highs[name] = min(self.highs.get(name, rows[axis] - 1), rows[axis] - 1)

    def _compare(self, one: str, other: str) -> None:
        name, tensor = self._is.get(one), self._tensors.get(other)
        if name is None or tensor is None or int(np.prod(tensor.dims)) != 1:
            return
        try:
            value = numpy_helper.to_array(tensor).reshape(-1)[0]
        except Exception:  # in a file beside the model, or of a type that numpy does not know
            return
        known = self.compared.setdefault(name, [])
        if (
            value.dtype.kind in "iuf"
            and float(value).is_integer()
            and int(value) not in known
            and len(known) < _MOST_COMPARED
        ):
            known.append(int(value))
