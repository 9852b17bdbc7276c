"""What an OpenVINO graph takes and gives."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import openvino as ov

from tcli_server.signature import ModelSignature, TensorSignature

_DATATYPES = {
    "boolean": "BOOL",
    "string": "BYTES",
    **{f"u{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"i{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": f"FP{bits}" for bits in (16, 32, 64)},
    "bf16": "BF16",
}
_SINK = "/sink_port_0"


def graph_signature(graph: ov.Model, wanted: Collection[str] = ()) -> ModelSignature:
    """The signature of a graph, its tensors in the graph's own order.

    Args:
        wanted: names that a configuration uses: a tensor may have several.
    """
    return ModelSignature(_tensors(graph.inputs, wanted), _tensors(graph.outputs, wanted))


def _tensors(ports: Iterable[Any], wanted: Collection[str]) -> tuple[TensorSignature, ...]:
    named: dict[str, Any] = {}
    for port in ports:
        named[_name(port, wanted, named)] = port
    return tuple(_tensor(name, port) for name, port in named.items())


def _name(port: Any, wanted: Collection[str], taken: Mapping[str, Any]) -> str:
    """The one of its names that the configuration has, else the one of its node, else the first that is free.

    Two outputs that are one tensor have the same names.
    """
    names = sorted(name for name in port.get_names() if name not in taken)
    own = port.get_node().get_friendly_name().removesuffix(_SINK)
    chosen = next((name for name in names if name in wanted), "")
    chosen = chosen or (own if own in names or not names else names[0])
    number = 1
    while chosen in taken:
        number += 1
        chosen = f"{own}_{number}"
    return chosen


def _tensor(name: str, port: Any) -> TensorSignature:
    word = port.get_element_type().get_type_name()
    shape = port.get_partial_shape()
    datatype = _DATATYPES.get(word, word.upper())
    if shape.rank.is_dynamic:
        return TensorSignature(name, datatype, (), rank_known=False)
    return TensorSignature(name, datatype, sizes(shape))


def sizes(shape: ov.PartialShape) -> tuple[int, ...]:
    """A shape of known rank; -1 for what varies."""
    return tuple(dim.get_length() if dim.is_static else -1 for dim in shape)
