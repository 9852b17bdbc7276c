"""An inference request from its protobuf message (rules and texts: Triton's gRPC service)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from tcli_server.datatypes import BY_NAME, DataType
from tcli_server.errors import InvalidArgumentError, request_prefix
from tcli_server.protocols.shared_memory import NO_SHARED_MEMORY, SharedTensor, SystemSharedMemory
from tcli_server.protocols.tensors import (
    MAX_DIMS,
    PIECE,
    Shape,
    bytes_array,
    datatype,
    decode_raw,
    element_count,
    shapeless,
)
from tcli_server.protocols.texts import short
from tcli_server.request import InferenceRequest

OutputForms = Mapping[str, int | SharedTensor]
"""Output name -> how many classes of it are wanted, 0 for the tensor itself, or where in shared memory it goes."""

_NO_FORMS: OutputForms = {}
_RESERVED_PREFIX = "triton_"
_FINAL_RESPONSE = "triton_enable_empty_final_response"
_SHARED_MEMORY = "shared_memory_region"

_CONTENTS_FIELD = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Data type -> the typed field that holds it; FP16 and BF16 travel as raw bytes only."""

_FIELD_DATATYPE = {
    "bool_contents": "BOOL",
    "int_contents": "INT32",
    "int64_contents": "INT64",
    "uint_contents": "UINT32",
    "uint64_contents": "UINT64",
    "fp32_contents": "FP32",
    "fp64_contents": "FP64",
    "bytes_contents": "BYTES",
}

# What a reserved parameter may be, and how Triton says it.
_PARAMETER_TYPES = {
    "sequence_id": (("int64_param", "string_param"), "int64_param or string_param."),
    "sequence_start": (("bool_param",), "bool_param."),
    "sequence_end": (("bool_param",), "bool_param."),
    "priority": (("int64_param", "uint64_param"), "int64_param or uint64_param."),
    "timeout": (("int64_param",), "int64_param."),
    _FINAL_RESPONSE: (("bool_param",), "bool_param."),
}
_MAX_SEQUENCE_ID = 2**64 - 1
"""Ids are unsigned, but travel in a field for signed numbers."""

_CUSTOM_TYPES = (
    ("bool_param", "int64_param", "string_param", "double_param"),
    "int64_param, bool_param, double_param or string_param.",
)


def decode_request(
    message: service_pb2.ModelInferRequest,
    raw: Sequence[bytes | memoryview],
    shared: SystemSharedMemory = NO_SHARED_MEMORY,
) -> tuple[InferenceRequest, OutputForms]:
    """Read a request.

    Args:
        message: without its `raw_input_contents` if those are given apart.
        raw: the raw tensors, in the order of the inputs; the arrays are views of them.
        shared: the regions that it may name.

    Returns:
        The request, still without its `reply`, and how its outputs are wanted.

    Raises:
        InvalidArgumentError: the message contradicts itself.
        NotFoundError, UnsupportedError: it names shared memory that there is not, or that clients may not share.
    """
    request = InferenceRequest(message.model_name, {}, model_version=message.model_version, id=message.id)
    if message.parameters:
        _read_parameters(message.parameters, request)
    _read_inputs(message, raw, request, shared)
    if not message.outputs:
        return request, _NO_FORMS
    request.outputs = tuple([output.name for output in message.outputs])
    return request, {output.name: _output_form(output, shared) for output in message.outputs if output.parameters}


def shares_memory(message: service_pb2.ModelInferRequest) -> bool:
    """Whether tensors of it are in shared memory, or go there."""
    return any(_SHARED_MEMORY in tensor.parameters for tensor in (*message.inputs, *message.outputs))


def wants_empty_final(message: service_pb2.ModelInferRequest) -> bool:
    """Whether the client wants to hear of the end of a decoupled model's responses, if no other response tells it."""
    return _FINAL_RESPONSE in message.parameters and bool(message.parameters[_FINAL_RESPONSE].bool_param)


def _read_inputs(
    message: service_pb2.ModelInferRequest,
    raw: Sequence[bytes | memoryview],
    request: InferenceRequest,
    shared: SystemSharedMemory,
) -> None:
    inputs = request.inputs
    model = request.model_name
    used = taken = 0
    for tensor in message.inputs:
        name = tensor.name
        if name in inputs:
            raise InvalidArgumentError(f"{request_prefix(request.id)}input '{short(name)}' already exists in request")
        shape = tuple(tensor.shape[: MAX_DIMS + 1])  # more are too many in any case
        if tensor.parameters and _SHARED_MEMORY in tensor.parameters:
            if tensor.HasField("contents"):
                raise InvalidArgumentError(
                    f"unexpected 'content' provided when using shared memory for input tensor '{short(name)}' for model "
                    f"'{model}'"
                )
            kind = datatype(tensor.datatype, name)
            place = _shared_tensor("input", tensor, shared)
            inputs[name] = decode_raw(shared.read(place, taken, name), kind, shape, name, model)
            taken += place.byte_size
            continue
        if not raw:
            inputs[name] = _decode_contents(tensor, shape, request)
            continue
        if tensor.HasField("contents"):
            raise InvalidArgumentError(
                f"contents field must not be specified when using raw_input_contents for '{short(name)}' for model "
                f"'{model}'"
            )
        if used == len(raw):
            raise _no_data(name, model)
        try:
            inputs[name] = decode_raw(raw[used], datatype(tensor.datatype, name), shape, name, model)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{request_prefix(request.id)}{error}") from None
        used += 1
    if taken:
        request.byte_size = taken + sum(map(len, raw)) + message.ByteSize()


def _shared_tensor(what: str, tensor: Any, shared: SystemSharedMemory) -> SharedTensor:
    shared.check_allowed()
    found: dict[str, Any] = {}
    for key, kind in (
        (_SHARED_MEMORY, "string_param"),
        ("shared_memory_offset", "int64_param"),
        ("shared_memory_byte_size", "int64_param"),
    ):
        if key in tensor.parameters:
            if tensor.parameters[key].WhichOneof("parameter_choice") != kind:
                raise InvalidArgumentError(
                    f"invalid value type for '{key}' parameter of {what} '{short(tensor.name)}', expected {kind}."
                )
            found[key] = getattr(tensor.parameters[key], kind)
    if "shared_memory_byte_size" not in found:
        raise InvalidArgumentError(
            f"'shared_memory_byte_size' is missing for {what} '{short(tensor.name)}' in shared memory"
        )
    return shared.tensor(found[_SHARED_MEMORY], found.get("shared_memory_offset", 0), found["shared_memory_byte_size"])


def _no_data(name: str, model: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"unable to find data for input tensor '{short(name)}' for model '{model}' in request.")


def _decode_contents(tensor: Any, shape: Shape, request: InferenceRequest) -> np.ndarray:
    """A tensor from its typed field."""
    name, model = tensor.name, request.model_name
    kind = datatype(tensor.datatype, name)
    expected = _CONTENTS_FIELD.get(kind.name)
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if not filled and not (expected and tensor.HasField("contents") and 0 in shape):
        raise _no_data(name, model)
    for field in filled:
        if field != expected:
            raise InvalidArgumentError(
                f"unexpected explicit tensor data for input tensor '{short(name)}' for model '{model}' of type "
                f"'{_FIELD_DATATYPE[field]}', expected datatype '{kind.name}'"
            )
    try:
        return _typed_array(getattr(tensor.contents, str(expected)), kind, shape, name, model)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{request_prefix(request.id)}{error}") from None


def _typed_array(values: Any, kind: DataType, shape: Shape, name: str, model: str) -> np.ndarray:
    if not shape:
        return shapeless(kind)
    count = element_count(shape, kind, name, model)
    if not kind.size:
        if len(values) > count:
            raise InvalidArgumentError(
                f"unexpected number of string elements {len(values)} for inference input '{short(name)}' for model "
                f"'{model}', expecting {count}"
            )
        if len(values) < count:
            raise InvalidArgumentError(
                f"expected {count} string elements for inference input '{short(name)}' for model '{model}', got "
                f"{len(values)}"
            )
        return bytes_array([value for piece in _pieces(values) for value in piece], shape)
    if len(values) != count:
        raise InvalidArgumentError(
            f"input byte size mismatch for input '{short(name)}' for model '{model}'. Expected {count * kind.size}, got "
            f"{len(values) * kind.size}"
        )
    # INT8 and INT16 travel in 32-bit fields: the low bits count, as in Triton.
    carried = BY_NAME[_FIELD_DATATYPE[_CONTENTS_FIELD[kind.name]]].dtype
    array = np.empty(count, kind.dtype)
    position = 0
    for piece in _pieces(values):
        array[position : position + len(piece)] = np.array(piece, carried).astype(kind.dtype, copy=False)
        position += len(piece)
    return array.reshape(shape)


def _pieces(values: Any) -> Iterator[list[Any]]:
    for start in range(0, len(values), PIECE):
        yield values[start : start + PIECE]


def _read_parameters(parameters: Any, request: InferenceRequest) -> None:
    for key, parameter in parameters.items():
        allowed, said = _PARAMETER_TYPES.get(key, _CUSTOM_TYPES)
        if key.startswith(_RESERVED_PREFIX) and key != _FINAL_RESPONSE:
            raise InvalidArgumentError(
                "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting "
                f"with 'triton_' are allowed: {_FINAL_RESPONSE}"
            )
        chosen = parameter.WhichOneof("parameter_choice")
        if chosen not in allowed:
            raise InvalidArgumentError(f"invalid value type for '{short(key)}' parameter, expected {said}")
        value = getattr(parameter, chosen)
        if key == "priority":
            if value < 0:
                raise InvalidArgumentError("invalid value for 'priority', expected value >= 0.")
            request.priority = value
        elif key == "timeout":
            request.timeout_us = max(0, value)  # Triton takes a negative one for a huge one, which is none either
        elif key == "sequence_id":
            request.sequence_id = value & _MAX_SEQUENCE_ID if isinstance(value, int) else value
        elif key == "sequence_start":
            request.sequence_start = value
        elif key == "sequence_end":
            request.sequence_end = value
        elif key != _FINAL_RESPONSE:  # speaks of decoupled models only
            request.parameters[key] = value


def _output_form(output: Any, shared: SystemSharedMemory) -> int | SharedTensor:
    """How many classes of an output are wanted, 0 for the tensor itself; or where in shared memory it goes."""
    if _SHARED_MEMORY in output.parameters:
        if "classification" in output.parameters:
            raise InvalidArgumentError(
                f"output '{short(output.name)}' goes to shared memory: 'classification' cannot be set for it, too"
            )
        return _shared_tensor("output", output, shared)
    if "classification" not in output.parameters:
        return 0
    parameter = output.parameters["classification"]
    if parameter.WhichOneof("parameter_choice") != "int64_param":
        raise InvalidArgumentError("invalid value type for 'classification' parameter, expected int64_param")
    if parameter.int64_param <= 0:
        raise InvalidArgumentError("invalid value for 'classification' parameter, expected > 0")
    return int(parameter.int64_param)
