"""The classification extension: the k largest values of an output as `value:index:label` strings."""

from collections.abc import Sequence

import numpy as np

from tcli_server.datatypes import datatype_of
from tcli_server.errors import InvalidArgumentError

_SUPPORTED = frozenset(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64"))
_MAX_ELEMENTS = 1_000_000


def classify(array: np.ndarray, k: int, labels: Sequence[str], batched: bool, output: str) -> np.ndarray:
    """The top classes of an output, largest first.

    Args:
        array: `[batch, ...]` if `batched`, else `[...]`; all but the batch is flattened.
        labels: class names by index; a missing or empty one leaves the element as `value:index`.

    Returns:
        BYTES of shape `[batch, k']` or `[k']`, k' = min(k, classes); floats with six decimals, as C++ prints them.

    Raises:
        InvalidArgumentError: the data type has no order that Triton classifies by, or too many elements.
    """
    name = datatype_of(array)
    if name not in _SUPPORTED:
        raise InvalidArgumentError(f"class result not available for output due to unsupported type '{name}'")
    if array.size > _MAX_ELEMENTS:
        raise InvalidArgumentError(
            f"classification output tensor too large: output '{output}' has {array.size} elements, at most "
            f"{_MAX_ELEMENTS} can be classified"
        )
    rows = array.reshape(array.shape[0], -1) if batched else array.reshape(1, -1)
    form = "%f" if name.startswith("FP") else "%d"
    result = np.empty((len(rows), min(k, rows.shape[1])), np.object_)
    for row, values in enumerate(rows):
        # Sorted backwards and read backwards: largest first and, of equal values, the first class first.
        order = len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1][:k]
        result[row] = [_element(form % values[index], int(index), labels) for index in order]
    return result if batched else result[0]


def _element(value: str, index: int, labels: Sequence[str]) -> bytes:
    label = labels[index] if index < len(labels) else ""
    return (f"{value}:{index}:{label}" if label else f"{value}:{index}").encode()
