"""Triton's raw binary request: the bytes of a model's only input, whose shape is worked out from the model's."""

from math import prod

import numpy as np

from tcli_server.errors import InvalidArgumentError
from tcli_server.request import InferenceRequest
from tcli_server.spec import ModelSpec


def shape_raw_input(request: InferenceRequest, spec: ModelSpec) -> None:
    """Turn `raw_input` into the request's one input.

    Raises:
        InvalidArgumentError: the model has several inputs, the shape is not clear, or the bytes do not fit it.
    """
    body = request.raw_input
    assert body is not None
    if len(spec.inputs) != 1:
        raise InvalidArgumentError(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(spec.inputs)} inputs in "
            f"'{spec.name}' model configuration"
        )
    (tensor,) = spec.inputs.values()
    dims = (1, *tensor.dims) if spec.max_batch_size else tensor.dims
    if tensor.datatype.name == "BYTES":
        if prod(dims) != 1:
            raise InvalidArgumentError(
                f"For BYTE datatype raw input '{tensor.name}', the model must have input shape [1]"
            )
        array = np.empty(dims, np.object_)
        array.flat[0] = bytes(body)
    else:
        if dims.count(-1) > 1:
            raise InvalidArgumentError(
                f"The shape of the raw input '{tensor.name}' can not be deduced because there are more than one variable "
                "sized dimensions"
            )
        fixed = prod(dim for dim in dims if dim != -1) * tensor.datatype.size
        shape = tuple(len(body) // fixed if dim == -1 else dim for dim in dims)
        if prod(shape) * tensor.datatype.size != len(body):
            raise InvalidArgumentError(
                f"input byte size mismatch for input '{tensor.name}' for model '{spec.name}'. Expected "
                f"{prod(shape) * tensor.datatype.size}, got {len(body)}"
            )
        array = np.frombuffer(body, tensor.dtype).reshape(shape)
    request.inputs = {tensor.name: array}
    request.raw_input = None
