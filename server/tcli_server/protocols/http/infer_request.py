"""An inference request from its HTTP body: JSON, JSON with binary tensors behind it, or raw bytes alone."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from tcli_server.errors import InternalError, InvalidArgumentError, UnsupportedError
from tcli_server.models.model import Model
from tcli_server.protocols.http.json_tensors import decode_json, loads
from tcli_server.protocols.tensors import bytes_array, datatype, decode_raw
from tcli_server.request import InferenceRequest, Parameter

_RESERVED_PREFIX = "triton_"
_SHARED_MEMORY = "shared_memory_region"


@dataclass(frozen=True, slots=True)
class OutputForm:
    """How one output is to be sent."""

    binary: bool = False
    classes: int = 0


_JSON_FORM = OutputForm()
_BINARY_FORM = OutputForm(binary=True)


@dataclass(slots=True)
class ResponseForm:
    """How the outputs are to be sent.

    Attributes:
        default: for all outputs, where the request lists none.
        by_name: for the outputs that it lists.
    """

    default: OutputForm = _JSON_FORM
    by_name: dict[str, OutputForm] = field(default_factory=dict)

    def of(self, output: str) -> OutputForm:
        return self.by_name.get(output, self.default)


def decode_request(
    body: bytes, json_length: int | None, model: Model, version: str, max_input_size: int
) -> tuple[InferenceRequest, ResponseForm]:
    """Read a request.

    Args:
        json_length: the Inference-Header-Content-Length header, None where it is absent.
        max_input_size: bytes that the JSON part, and each tensor in it, may have.

    Raises:
        InternalError: malformed JSON (Triton answers 500).
        InvalidArgumentError: anything else that is wrong with the request.
    """
    if json_length == 0:
        return _decode_raw_request(body, model, version, max_input_size)
    if json_length is None:
        json_length = len(body)
    elif not 0 < json_length <= len(body):
        raise InvalidArgumentError(f"inference header size should be in range (0, {len(body)}), got: {json_length}")
    if json_length > max_input_size:
        raise InvalidArgumentError(
            f"request JSON of {json_length} bytes is larger than the limit of {max_input_size} bytes. Use "
            "--http-max-input-size to allow more"
        )
    view = memoryview(body)
    document, arrays = loads(view[:json_length] if json_length < len(body) else body)
    if not isinstance(document, dict):
        raise InternalError("failed to parse the request JSON buffer: expected an object")
    request = InferenceRequest(model.name, {}, (), version, _text(document, "id"))
    binary_output = _read_parameters(document.get("parameters"), request.parameters)
    _read_inputs(document, arrays, view[json_length:], request, model)
    form = _read_outputs(document.get("outputs"), binary_output)
    request.outputs = tuple(form.by_name)
    return request, form


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise InternalError(f"Unable to parse '{key}': expected a string")
    return value


def _read_parameters(parameters: Any, into: dict[str, Parameter]) -> bool:
    """Copy the request parameters; tells whether outputs are binary unless listed."""
    if parameters is None:
        return False
    if not isinstance(parameters, dict):
        raise InternalError("Unable to parse 'parameters': expected an object")
    binary_output = False
    for key, value in parameters.items():
        if key.startswith(_RESERVED_PREFIX):
            raise InvalidArgumentError(f"request parameter '{key}' is reserved: names that begin with 'triton_' are")
        if not isinstance(value, bool | int | float | str):
            raise InvalidArgumentError(
                f"invalid type for request parameter '{key}': expected a string, a number or a boolean"
            )
        if key == "binary_data_output":
            if not isinstance(value, bool):
                raise InternalError("Unable to parse 'binary_data_output': expected a boolean")
            binary_output = value
        else:
            into[key] = value
    return binary_output


def _read_inputs(
    document: dict[str, Any], arrays: list[np.ndarray], tail: memoryview, request: InferenceRequest, model: Model
) -> None:
    inputs = document.get("inputs")
    if not isinstance(inputs, list):
        raise InternalError("Unable to parse 'inputs': expected an array")
    offset = 0
    for item in inputs:
        name, shape, kind_name = _describe_input(item)
        if name in request.inputs:
            raise InvalidArgumentError(f"input '{name}' already exists in request for model '{model.name}'")
        kind = datatype(kind_name, name)
        parameters = item.get("parameters")
        size = parameters.get("binary_data_size") if parameters else None
        if size is not None:
            if "data" in item or _SHARED_MEMORY in parameters:
                raise _only_one(name)
            if not isinstance(size, int) or size < 0:
                raise InternalError(f"Unable to parse 'binary_data_size' of input '{name}': expected a count of bytes")
            if offset + size > len(tail):
                missing = offset + size - len(tail)
                raise InvalidArgumentError(
                    f"unexpected size for input '{name}', expecting {missing} additional bytes for model '{model.name}'"
                )
            request.inputs[name] = decode_raw(tail[offset : offset + size], kind, shape, name, model.name)
            offset += size
        elif parameters and _SHARED_MEMORY in parameters:
            raise UnsupportedError(f"input '{name}' is in shared memory, which this server does not support yet")
        elif "data" in item:
            data = item["data"]
            if arrays and isinstance(data, int):
                data = arrays[data]
            request.inputs[name] = decode_json(data, kind, shape, name, model.name)
        else:
            raise _only_one(name)
    if offset != len(tail):
        raise InvalidArgumentError(
            f"unexpected additional input data for model '{model.name}': {len(tail) - offset} bytes after the last input"
        )


def _describe_input(item: Any) -> tuple[str, tuple[int, ...], str]:
    try:
        name, shape, kind = item["name"], item["shape"], item["datatype"]
    except (TypeError, KeyError) as error:
        raise InternalError(f"Unable to parse 'inputs': each needs name, shape and datatype; missing {error}") from None
    if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(shape, list):
        raise InternalError("Unable to parse 'inputs': name and datatype are strings, shape is an array")
    for dim in shape:
        if type(dim) is not int or dim < 0:
            raise InternalError(f"Unable to parse 'shape' of input '{name}': found {dim}, expected whole numbers >= 0")
    parameters = item.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InternalError(f"Unable to parse 'parameters' of input '{name}': expected an object")
    return name, tuple(shape), kind


def _only_one(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
        f"'shared_memory_region' in 'parameters'. But none or more than one are set for input '{name}'"
    )


def _read_outputs(outputs: Any, binary_output: bool) -> ResponseForm:
    if outputs is not None and not isinstance(outputs, list):
        raise InternalError("Unable to parse 'outputs': expected an array")
    if not outputs:
        return ResponseForm(_BINARY_FORM if binary_output else _JSON_FORM)
    by_name: dict[str, OutputForm] = {}
    for item in outputs:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InternalError("Unable to parse 'outputs': each needs a name")
        name = item["name"]
        if name in by_name:
            raise InvalidArgumentError(f"output '{name}' already exists in request")
        parameters = item.get("parameters")
        by_name[name] = _JSON_FORM if not parameters else _output_form(name, parameters)
    return ResponseForm(_JSON_FORM, by_name)


def _output_form(name: str, parameters: Any) -> OutputForm:
    if not isinstance(parameters, dict):
        raise InternalError(f"Unable to parse 'parameters' of output '{name}': expected an object")
    if _SHARED_MEMORY in parameters:
        raise UnsupportedError(f"output '{name}' is to go to shared memory, which this server does not support yet")
    binary, classes = parameters.get("binary_data", False), parameters.get("classification", 0)
    if not isinstance(binary, bool):
        raise InternalError(f"Unable to parse 'binary_data' of output '{name}': expected a boolean")
    if type(classes) is not int or classes < 0:
        raise InternalError(f"Unable to parse 'classification' of output '{name}': expected a whole number >= 0")
    if not classes:
        return _BINARY_FORM if binary else _JSON_FORM
    return OutputForm(binary, classes)


def _decode_raw_request(
    body: bytes, model: Model, version: str, max_input_size: int
) -> tuple[InferenceRequest, ResponseForm]:
    """The whole body is the one input's bytes; its shape is worked out from the model's (Triton's raw binary request)."""
    spec = model.spec
    if len(body) > max_input_size:
        raise InvalidArgumentError(
            f"raw request of {len(body)} bytes is larger than the limit of {max_input_size} bytes. Use "
            "--http-max-input-size to allow more"
        )
    if len(spec.inputs) != 1:
        raise InvalidArgumentError(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(spec.inputs)} inputs in "
            f"'{model.name}' model configuration"
        )
    (tensor,) = spec.inputs.values()
    dims = (1, *tensor.dims) if spec.max_batch_size else tensor.dims
    if tensor.datatype.name == "BYTES":
        if prod(dims) != 1:
            raise InvalidArgumentError(
                f"For BYTE datatype raw input '{tensor.name}', the model must have input shape [1]"
            )
        array = bytes_array([body], dims)
    else:
        if dims.count(-1) > 1:
            raise InvalidArgumentError(
                f"The shape of the raw input '{tensor.name}' can not be deduced because there are more than one variable "
                "sized dimensions"
            )
        fixed = prod(dim for dim in dims if dim != -1) * tensor.datatype.size
        shape = tuple(len(body) // fixed if dim == -1 else dim for dim in dims)
        array = decode_raw(body, tensor.datatype, shape, tensor.name, model.name)
    return InferenceRequest(model.name, {tensor.name: array}, (), version), ResponseForm(_BINARY_FORM)
