"""An inference request from its HTTP body: JSON, JSON with binary tensors behind it, or raw bytes alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tcli_server.datatypes import BY_NAME, DataType
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.http.exchange import Body
from tcli_server.protocols.http.json_pieces import loads
from tcli_server.protocols.http.json_tensors import decode_json
from tcli_server.protocols.http.json_text import parse
from tcli_server.protocols.shared_memory import NO_SHARED_MEMORY, SharedTensor, SystemSharedMemory
from tcli_server.protocols.tensors import MAX_DIMS, Shape, datatype, decode_raw
from tcli_server.protocols.texts import short
from tcli_server.request import InferenceRequest

QUICK = 1 << 14
"""Bytes that are read within about a millisecond, and so may be in the event loop."""

_QUICKLY_COPIED = 1 << 20
"""Bytes of a raw input that may be copied in the event loop: a model of strings wants them as one."""

_RESERVED_PREFIX = "triton_"
_SHARED_MEMORY = "shared_memory_region"
_SHARED_OFFSET = "shared_memory_offset"
_SHARED_SIZE = "shared_memory_byte_size"
_MAX_DIM = 2**63 - 1
_NO_PARAMETERS: Mapping[str, Any] = {}


class TakesLongError(Exception):
    """The request is right so far, but reading it takes too long for an event loop."""


@dataclass(frozen=True, slots=True)
class OutputForm:
    """How one output is to be sent; `shared` is where it goes instead."""

    binary: bool = False
    classes: int = 0
    shared: SharedTensor | None = None


_JSON_FORM = OutputForm()
_BINARY_FORM = OutputForm(binary=True)


@dataclass(frozen=True, slots=True)
class ResponseForm:
    """How the outputs are to be sent.

    Attributes:
        default: for all outputs, where the request lists none.
        by_name: for the outputs that it lists.
        all_binary: every output is sent as the bytes of its tensor.
    """

    default: OutputForm
    by_name: Mapping[str, OutputForm] = field(default_factory=dict)
    all_binary: bool = False


JSON_RESPONSE = ResponseForm(_JSON_FORM)
_BINARY_RESPONSE = ResponseForm(_BINARY_FORM, all_binary=True)


def decode_request(
    body: Body,
    json_length: int | None,
    name: str,
    version: str,
    max_input_size: int,
    quickly: bool = False,
    shared: SystemSharedMemory = NO_SHARED_MEMORY,
) -> tuple[InferenceRequest, ResponseForm]:
    """Read a request, without looking at the model; `byte_size` is what was read of shared memory.

    Args:
        json_length: the Inference-Header-Content-Length header, None where it is absent. 0 makes the body the bytes of
            the model's only input: `raw_input`, which the model shapes.
        name: the model's, from the path.
        max_input_size: bytes that the JSON part, and each tensor in it, may have.
        quickly: give up where it takes long; for an event loop.
        shared: the regions that it may name.

    Raises:
        InternalError: malformed JSON (Triton answers 500).
        InvalidArgumentError: anything else that is wrong with the request.
        NotFoundError, UnsupportedError: it names shared memory that there is not, or that clients may not share.
        TakesLongError: only with `quickly`.
    """
    if json_length == 0:
        if len(body) > max_input_size:
            raise _too_large(len(body), "raw request", max_input_size)
        if quickly and len(body) > _QUICKLY_COPIED:
            raise TakesLongError
        return InferenceRequest(name, {}, model_version=version, raw_input=body), _BINARY_RESPONSE
    if json_length is None:
        json_length = len(body)
    elif not 0 < json_length <= len(body):
        raise InvalidArgumentError(f"inference header size should be in range (0, {len(body)}), got: {json_length}")
    if json_length > max_input_size:
        raise _too_large(json_length, "request JSON", max_input_size)
    if quickly and json_length > QUICK:
        raise TakesLongError
    view = memoryview(body)
    text = view[:json_length] if json_length < len(body) else body
    document = parse(text) if json_length <= QUICK else loads(text)
    if not isinstance(document, dict):
        raise InternalError("failed to parse the request JSON buffer: expected an object")
    request_id = document.get("id", "")
    if not isinstance(request_id, str):
        raise InternalError("Unable to parse 'id': expected a string")
    request = InferenceRequest(name, {}, (), version, request_id)
    binary_output = _read_parameters(document.get("parameters"), request)
    _read_inputs(document, view[json_length:], request, max_input_size, quickly, shared)
    form = _read_outputs(document.get("outputs"), binary_output, shared)
    if form.by_name:
        request.outputs = tuple(form.by_name)
    return request, form


def _too_large(size: int, what: str, limit: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{what} of {size} bytes is larger than the limit of {limit} bytes. Use --http-max-input-size to allow more"
    )


def _read_parameters(parameters: Any, request: InferenceRequest) -> bool:
    """Read the request parameters; tells whether outputs are binary unless listed."""
    if parameters is None:
        return False
    if not isinstance(parameters, dict):
        raise InternalError("Unable to parse 'parameters': expected an object")
    binary_output = False
    for key, value in parameters.items():
        if key == "binary_data_output":
            binary_output = _boolean(key, value)
        elif key == "priority":
            request.priority = _unsigned(key, value)
        elif key == "timeout":
            request.timeout_us = _unsigned(key, value)
        elif key == "sequence_id":
            request.sequence_id = value if isinstance(value, str) else _unsigned(key, value)
        elif key == "sequence_start":
            request.sequence_start = _boolean(key, value)
        elif key == "sequence_end":
            request.sequence_end = _boolean(key, value)
        else:
            if key.startswith(_RESERVED_PREFIX):
                raise InvalidArgumentError(
                    f"request parameter '{short(key)}': keys starting with 'triton_' are reserved for Triton usage"
                )
            if not isinstance(value, bool | int | float | str):
                raise InvalidArgumentError(
                    f"invalid type for request parameter '{short(key)}': expected a string, a number or a boolean"
                )
            request.parameters[key] = value
    return binary_output


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InternalError(f"Unable to parse '{key}': expected a boolean")
    return value


def _unsigned(key: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise InternalError(f"Unable to parse '{key}': expected a whole number from 0 to 2^64 - 1")
    return value


def _read_inputs(
    document: dict[str, Any],
    tail: memoryview,
    request: InferenceRequest,
    max_input_size: int,
    quickly: bool,
    shared: SystemSharedMemory,
) -> None:
    inputs = document.get("inputs")
    if not isinstance(inputs, list):
        found = f"found {', '.join(short(key) for key in list(document)[:10]) or 'nothing'}"
        problem = "expected an array" if "inputs" in document else f"the key is missing, {found}"
        raise InternalError(f"Unable to parse 'inputs': {problem}")
    model, arrays = request.model_name, request.inputs
    offset, length = 0, len(tail)
    for item in inputs:
        name, shape, kind, parameters = _describe_input(item)
        if name in arrays:
            raise InvalidArgumentError(f"input '{short(name)}' already exists in request for model '{short(model)}'")
        size = parameters.get("binary_data_size")
        if _SHARED_MEMORY in parameters:
            if size is not None or "data" in item:
                raise _only_one(name)
            place = _shared_tensor("input", name, parameters, shared)
            # All that was taken until now counts: each input may name the same bytes again.
            if quickly and request.byte_size + place.byte_size > (_QUICKLY_COPIED if kind.size else QUICK):
                raise TakesLongError
            arrays[name] = decode_raw(shared.read(place, request.byte_size, name), kind, shape, name, model)
            request.byte_size += place.byte_size
            continue
        if ("data" in item) is (size is not None):
            raise _only_one(name)
        if size is None:
            arrays[name] = decode_json(item["data"], kind, shape, name, model, max_input_size)
            continue
        if type(size) is not int or size < 0:
            raise InternalError(
                f"Unable to parse 'binary_data_size' of input '{short(name)}': expected a count of bytes"
            )
        end = offset + size
        if end > length:
            raise InvalidArgumentError(
                f"unexpected size for input '{short(name)}', expecting {end - length} additional bytes for model "
                f"'{short(model)}'"
            )
        if quickly and not kind.size and size > QUICK:  # strings are read one by one
            raise TakesLongError
        arrays[name] = decode_raw(tail[offset:end], kind, shape, name, model)
        offset = end
    if offset != length:
        raise InvalidArgumentError(
            f"unexpected additional input data for model '{short(model)}': {length - offset} bytes after the last input"
        )


def _describe_input(item: Any) -> tuple[str, Shape, DataType, Mapping[str, Any]]:
    """Name, shape, data type and parameters of an input."""
    try:
        name, shape, kind = item["name"], item["shape"], item["datatype"]
    except (TypeError, KeyError) as error:
        missing = error if isinstance(error, KeyError) else "all, as it is no object"
        raise InternalError(
            f"Unable to parse 'inputs': each needs name, shape and datatype; missing {missing}"
        ) from None
    if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(shape, list):
        raise InternalError("Unable to parse 'inputs': name and datatype are strings, shape is an array")
    if len(shape) > MAX_DIMS:
        shape = shape[: MAX_DIMS + 1]  # it is said elsewhere that they are too many
    for dim in shape:
        if type(dim) is not int or not 0 <= dim <= _MAX_DIM:
            raise _wrong_dim(name, dim)
    parameters = item.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InternalError(f"Unable to parse 'parameters' of input '{short(name)}': expected an object")
    return name, tuple(shape), BY_NAME.get(kind) or datatype(kind, name), parameters or _NO_PARAMETERS


def _wrong_dim(name: str, dim: Any) -> InternalError | InvalidArgumentError:
    if type(dim) is int and dim > _MAX_DIM:
        return InvalidArgumentError(
            f"invalid shape for input '{short(name)}': dimension {dim} is more than the largest, {_MAX_DIM}"
        )
    return InternalError(
        f"Unable to parse 'shape' of input '{short(name)}': found {short(dim)}, expected whole numbers >= 0"
    )


def _shared_tensor(what: str, name: str, parameters: Mapping[str, Any], shared: SystemSharedMemory) -> SharedTensor:
    shared.check_allowed()
    region, offset, size = (parameters.get(key, 0) for key in (_SHARED_MEMORY, _SHARED_OFFSET, _SHARED_SIZE))
    if not isinstance(region, str):
        raise InternalError(f"Unable to parse '{_SHARED_MEMORY}' of {what} '{short(name)}': expected a string")
    for key, value in ((_SHARED_OFFSET, offset), (_SHARED_SIZE, size)):
        if type(value) is not int or not 0 <= value < 2**64:
            raise InternalError(f"Unable to parse '{key}' of {what} '{short(name)}': expected a count of bytes")
    if _SHARED_SIZE not in parameters:
        raise InvalidArgumentError(f"'{_SHARED_SIZE}' is missing for {what} '{short(name)}' in shared memory")
    return shared.tensor(region, offset, size)


def _only_one(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
        f"'shared_memory_region' in 'parameters'. But none or more than one are set for input '{short(name)}'"
    )


def _read_outputs(outputs: Any, binary_output: bool, shared: SystemSharedMemory) -> ResponseForm:
    if outputs is not None and not isinstance(outputs, list):
        raise InternalError("Unable to parse 'outputs': expected an array")
    if not outputs:
        return _BINARY_RESPONSE if binary_output else JSON_RESPONSE
    by_name: dict[str, OutputForm] = {}
    for item in outputs:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InternalError("Unable to parse 'outputs': each needs a name")
        name = item["name"]
        if name in by_name:
            raise InvalidArgumentError(f"output '{short(name)}' already exists in request")
        parameters = item.get("parameters")
        by_name[name] = _JSON_FORM if not parameters else _output_form(short(name), parameters, shared)
    return ResponseForm(_JSON_FORM, by_name, all(form is _BINARY_FORM for form in by_name.values()))


def _output_form(name: str, parameters: Any, shared: SystemSharedMemory) -> OutputForm:
    if not isinstance(parameters, dict):
        raise InternalError(f"Unable to parse 'parameters' of output '{name}': expected an object")
    binary, classes = parameters.get("binary_data", False), parameters.get("classification", 0)
    if not isinstance(binary, bool):
        raise InternalError(f"Unable to parse 'binary_data' of output '{name}': expected a boolean")
    if type(classes) is not int or classes < 0:
        raise InternalError(f"Unable to parse 'classification' of output '{name}': expected a whole number >= 0")
    if _SHARED_MEMORY in parameters:
        if binary or classes:
            raise InvalidArgumentError(
                f"output '{name}' goes to shared memory: 'binary_data' and 'classification' cannot be set for it, too"
            )
        return OutputForm(shared=_shared_tensor("output", name, parameters, shared))
    if not classes:
        return _BINARY_FORM if binary else _JSON_FORM
    return OutputForm(binary, classes)
