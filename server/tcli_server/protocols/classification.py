"""The classification extension: the k largest values of an output as `value:index:label` strings."""

from collections.abc import Sequence
from math import prod

import numpy as np

from tcli_server.datatypes import datatype_of
from tcli_server.errors import InvalidArgumentError
from tcli_server.spec import ModelSpec

_SUPPORTED = frozenset(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64"))
_MAX_ELEMENTS = 1_000_000


def classified(array: np.ndarray, k: int, output: str, spec: ModelSpec | None) -> np.ndarray:
    """`classify` for an output of the model that `spec` describes; raises as that does."""
    if spec is None:
        return classify(array, k, (), False, output)
    return classify(array, k, spec.labels.get(output, ()), spec.max_batch_size > 0, output)


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
    rows = array.reshape(array.shape[0], prod(array.shape[1:])) if batched else array.reshape(1, -1)
    count = rows.shape[1]
    # Sorted backwards and read backwards: largest first and, of equal values, the first class first.
    order = count - 1 - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :k]
    values = np.take_along_axis(rows, order, axis=1)
    form = "%f" if name.startswith("FP") else "%d"
    result = np.empty(order.shape, np.object_)
    for row, (best, indices) in enumerate(zip(values, order, strict=True)):
        pairs = zip(best.tolist(), indices.tolist(), strict=True)
        result[row] = [_element(form % value, index, labels) for value, index in pairs]
    return result if batched else result[0]


def _element(value: str, index: int, labels: Sequence[str]) -> bytes:
    label = labels[index] if index < len(labels) else ""
    return (f"{value}:{index}:{label}" if label else f"{value}:{index}").encode()
