"""Items of a request as the V2 protocol writes it in JSON: `{"inputs": [{"name", "shape", "datatype", "data"}]}`."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.model_input import ModelInput
from tcli_analyzer.inputs import Inputs


def is_v2(document: Any) -> bool:
    """Whether this is a request, and not an entry of perf_analyzer's, which may have an input of that name."""
    inputs = document.get("inputs") if isinstance(document, dict) else None
    return isinstance(inputs, list) and all(isinstance(one, dict) and "name" in one for one in inputs)


def v2_items(
    request: Mapping[str, Any], place: str, inputs: Mapping[str, ModelInput], batches: bool, note: Callable[[str], None]
) -> Sequence[Inputs]:
    """The items of a request.

    Args:
        batches: its shapes begin with a batch dimension.

    Raises:
        DataError: it does not fit the model.
    """
    left_out = [key for key in ("id", "parameters", "outputs") if key in request]
    if left_out:
        note(f"{' and '.join(left_out)} of requests in the input data {'is' if len(left_out) == 1 else 'are'} not sent")
    rows: dict[str, list[np.ndarray]] = {}
    for one in request["inputs"]:
        name = one["name"]
        if name not in inputs:
            raise DataError(f"{place}: the model has no input '{name}'", f"its inputs are {', '.join(inputs)}")
        rows[name] = _rows(one, place, inputs[name], batches)
    counts = {name: len(found) for name, found in rows.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise DataError(f"{place}: the inputs are batches of different sizes: {said}")
    return [{name: found[row] for name, found in rows.items()} for row in range(next(iter(counts.values()), 0))]


def _rows(one: Mapping[str, Any], place: str, to: ModelInput, batches: bool) -> list[np.ndarray]:
    """The input's items."""
    array = _tensor(one, place, to)
    if not batches:
        return [to.fitted(array, place)]
    if not array.ndim or not len(array):
        raise DataError(f"{place}: input '{to.name}' has shape {list(array.shape)}, without the batch dimension")
    return [to.fitted(array[row], place) for row in range(len(array))]


def _tensor(one: Mapping[str, Any], place: str, to: ModelInput) -> np.ndarray:
    if "binary_data_size" in (one.get("parameters") or {}):
        raise DataError(f"{place}: input '{to.name}' is binary data, which a JSON file has not", 'write "data": [...]')
    datatype, shape = one.get("datatype"), one.get("shape")
    if datatype != to.kind.name:
        raise DataError(f"{place}: input '{to.name}' takes {to.kind.name}, found datatype {datatype}")
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise DataError(f"{place}: the shape of input '{to.name}' is {shape!r:.60}, expected whole numbers")
    data = one.get("data")
    if not isinstance(data, list):
        raise DataError(f"{place}: input '{to.name}' has no \"data\": [...]")
    try:
        array = np.array(data, np.object_) if not to.kind.size else np.array(data)
    except ValueError:
        raise DataError(f"{place}: input '{to.name}' is a list of lists of unequal lengths") from None
    if to.kind.size and array.size and array.dtype.kind not in "biuf":
        raise DataError(f"{place}: input '{to.name}' takes {to.kind.name}, found values of other types")
    count = math.prod(shape)
    if array.size != count:
        raise DataError(f"{place}: input '{to.name}' of shape {shape} has {count:,} elements, found {array.size:,}")
    return to.converted(array, place, from_text=True).reshape(shape)
