"""A request to generate from its JSON object: each member is a tensor, if the model has an input of that name, or a
parameter."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tcli_server.copying import as_bytes
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, error_of_kind, request_prefix
from tcli_server.protocols.http.exchange import Body
from tcli_server.protocols.http.infer_request import QUICK, TakesLongError
from tcli_server.protocols.http.json_pieces import Pieces, loads_flat, second_place
from tcli_server.protocols.http.json_tensors import decode_json
from tcli_server.protocols.tensors import Shape
from tcli_server.protocols.texts import short
from tcli_server.request import InferenceRequest
from tcli_server.spec import ModelSpec, TensorSpec

_PARAMETERS = "parameters"
_LARGEST_INTEGER = 2**63 - 1


def decode_generate(
    body: Body, version: str, spec: ModelSpec, max_input_size: int, quickly: bool = False
) -> InferenceRequest:
    """Read a request.

    Args:
        spec: of the model that is asked; the request still goes to whichever answers for its name.
        max_input_size: bytes that the body, and all tensors together, may have.
        quickly: give up where it takes long; for an event loop.

    Raises:
        InternalError: malformed JSON, or values of the wrong type (Triton answers 500).
        InvalidArgumentError: anything else that is wrong with the request.
        TakesLongError: only with `quickly`.
    """
    if len(body) > max_input_size:
        raise InvalidArgumentError(
            f"request JSON size of {len(body)} bytes exceeds the maximum allowed input size of {max_input_size} bytes. Use "
            "--http-max-input-size to increase the limit."
        )
    if quickly and len(body) > QUICK:
        raise TakesLongError
    text = as_bytes(body)
    document = loads_flat(text, list(spec.inputs))
    if not isinstance(document, dict):
        raise InternalError("failed to parse the request JSON buffer: attempt to get members for non-object")
    request_id = document.get("id", "")
    if not isinstance(request_id, str):
        raise InternalError("Unable to parse 'id': attempt to access JSON non-string as string")
    request = InferenceRequest(spec.name, {}, (), version, request_id)
    _Reader(request, spec, text, max_input_size).read(document)
    return request


class _Reader:
    """Fills one request."""

    def __init__(self, request: InferenceRequest, spec: ModelSpec, text: bytes, max_input_size: int) -> None:
        self._request = request
        self._spec = spec
        self._text = text
        self._limit = max_input_size
        self._consumed = 0

    def read(self, document: Mapping[str, Any]) -> None:
        """Read the members in their order."""
        for key, value in document.items():
            if key == _PARAMETERS:
                self._read_nested(value)
            else:
                self._read_member(key, value)
        self._check_given_once()

    def _read_nested(self, members: Any) -> None:
        if _PARAMETERS in self._spec.inputs:
            raise InvalidArgumentError(
                f"Keyword '{_PARAMETERS}' for nested schema also given as input tensor name: use /infer for this model"
            )
        if not isinstance(members, dict):
            raise InternalError(
                f"Expected JSON object for keyword: '{_PARAMETERS}': attempt to access JSON non-object as object"
            )
        try:
            for key, value in members.items():
                self._read_member(key, value)
        except ServerError as error:
            raise error_of_kind(error.kind, f"Converting keyword: '{_PARAMETERS}': {error}") from None

    def _read_member(self, key: str, value: Any) -> None:
        spec = self._spec.inputs.get(key)
        if spec is not None:
            self._read_tensor(spec, value)
        elif isinstance(value, bool | str | float):
            if key != "id":
                self._request.parameters[key] = value
        elif isinstance(value, int):
            self._request.parameters[key] = value if value <= _LARGEST_INTEGER else float(value)
        else:
            raise InvalidArgumentError(
                f"parameter '{short(key)}' has invalid type. It should be either 'int', 'bool', or 'string': the model has "
                f"no input of that name, its inputs are {', '.join(self._spec.inputs)}"
            )

    def _read_tensor(self, spec: TensorSpec, value: Any) -> None:
        name, kind = spec.name, spec.datatype
        data = value if isinstance(value, list | Pieces) else [value]
        if isinstance(data, Pieces) and data.nested:
            raise InternalError(
                f"Unable to parse 'data' of input '{name}': Shape does not match true shape of 'data' field: expected a "
                "value or a flat array, got arrays within an array"
            )
        count = len(data) if isinstance(data, list) else sum(map(len, data.parts))
        shape = _shape(self._spec.full_dims(spec), count, name)
        array = decode_json(data, kind, shape, name, self._spec.name, self._limit)
        self._consume(name, array)
        if name in self._request.inputs:
            raise self._given_twice(name)
        self._request.inputs[name] = array

    def _check_given_once(self) -> None:
        """A parser keeps the last of two members of one name; the first that is given again is said, as in Triton."""
        places = {name: second_place(self._text, name) for name in self._request.inputs}
        twice = [name for name, place in places.items() if place >= 0]
        if twice:
            raise self._given_twice(min(twice, key=lambda name: places[name]))

    def _given_twice(self, name: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"{request_prefix(self._request.id)}input '{name}' already exists in request")

    def _consume(self, name: str, array: np.ndarray) -> None:
        size = array.nbytes
        if array.dtype.hasobject:
            size = 4 * array.size + sum(map(len, array.reshape(-1).tolist()))
        if self._consumed + size > self._limit:
            raise InvalidArgumentError(
                f"request size of {self._consumed} bytes with input '{name}' of size {size} bytes exceeds the maximum "
                f"allowed input size of {self._limit}. Use --http-max-input-size to increase the limit."
            )
        self._consumed += size


def _shape(dims: Shape, count: int, name: str) -> Shape:
    """The shape of so many elements: what the fixed dimensions leave goes to the innermost variable one, the others are 1.

    Raises:
        InvalidArgumentError: they do not fit.
    """
    left = count
    for dim in dims:
        if dim > 0 and left % dim == 0:
            left //= dim
        elif dim != -1:
            raise _misfit(name, dims, count)
    shape = list(dims)
    for place in reversed(range(len(shape))):
        if shape[place] == -1:
            shape[place], left = left, 1
    if left != 1:
        raise _misfit(name, dims, count)
    return tuple(shape)


def _misfit(name: str, dims: Shape, count: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"The schema can not convert input '{name}' to tensor with proper shape: the model takes {list(dims)}, got {count} "
        "elements"
    )
