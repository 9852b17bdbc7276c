"""Triton's raw binary request: the bytes of the model's only input alone, whose shape the model tells."""

from math import prod

import numpy as np

from tcli_server.copying import as_bytes
from tcli_server.errors import InvalidArgumentError
from tcli_server.request import InferenceRequest
from tcli_server.spec import ModelSpec


def shape_raw_input(request: InferenceRequest, spec: ModelSpec) -> None:
    """Turn `raw_input` into the one entry of `inputs`, as a view of its bytes; nothing happens where there is none.

    Raises:
        InvalidArgumentError: the model has several inputs, or its shape cannot be worked out from the bytes.
    """
    raw = request.raw_input
    if raw is None:
        return
    if len(spec.inputs) != 1:
        raise InvalidArgumentError(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(spec.inputs)} inputs in "
            f"'{spec.name}' model configuration"
        )
    (tensor,) = spec.inputs.values()
    dims = (1, *tensor.dims) if spec.max_batch_size else tensor.dims
    if tensor.datatype.size:
        array = _numbers(raw, tensor.name, tensor.dtype, dims, spec.name)
    elif all(dim == 1 for dim in dims):
        array = np.empty(1, np.object_)
        array[0] = as_bytes(raw)
        array = array.reshape(dims)
    else:
        raise InvalidArgumentError(f"For BYTE datatype raw input '{tensor.name}', the model must have input shape [1]")
    request.inputs = {tensor.name: array}
    request.raw_input = None


def _numbers(raw: bytes | memoryview, name: str, dtype: np.dtype, dims: tuple[int, ...], model: str) -> np.ndarray:
    if dims.count(-1) > 1:
        raise InvalidArgumentError(
            f"The shape of the raw input '{name}' can not be deduced because there are more than one variable sized "
            "dimensions"
        )
    fixed = prod(dim for dim in dims if dim != -1) * dtype.itemsize
    shape = tuple(len(raw) // fixed if dim == -1 and fixed else dim for dim in dims)
    expected = prod(shape) * dtype.itemsize
    if expected != len(raw):
        raise InvalidArgumentError(
            f"input byte size mismatch for input '{name}' for model '{model}'. Expected {expected}, got {len(raw)}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)
