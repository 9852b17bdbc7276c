"""An inference response as the bytes of its protobuf message."""

import numpy as np
from tritonclient.grpc import service_pb2

from tcli_server.datatypes import datatype_of
from tcli_server.protocols.classification import classified
from tcli_server.protocols.grpc.infer_request import OutputForms
from tcli_server.protocols.grpc.wire import Buffer, raw_output, text_field
from tcli_server.protocols.shared_memory import SharedTensor
from tcli_server.protocols.tensors import PIECE, encode_raw
from tcli_server.request import InferenceResponse, Parameter

_MOST_FRAMES = 256
_Frame = tuple[bytes, bytes, tuple[bytes, ...]]
"""What stands before the id, what behind it, and what before each tensor's bytes."""

_FRAMES: dict[tuple[str, str, object], _Frame] = {}
"""Of answers that were written, by what they say: most answers of a model differ in their tensors only."""

_QUICK_BYTES = 1 << 20
"""Bytes of strings that are copied within about a millisecond."""

_ID = service_pb2.ModelInferResponse.ID_FIELD_NUMBER
_SIGNED_END = 2**63

_QUICK_ELEMENTS = 1 << 12
"""Elements that are written, or searched for the largest, one by one within about a millisecond."""


def encode_response(response: InferenceResponse, forms: OutputForms, final_flag: bool = False) -> list[Buffer]:
    """A serialized ModelInferResponse in parts; tensors are always in `raw_output_contents`, and large ones are their own memory.

    Args:
        response: with the `spec` of the model that answered, where classes are wanted.
        final_flag: add the parameter `triton_final_response`, as responses on streams have it.

    Raises:
        InvalidArgumentError: classes are wanted of an output that has none.
        InternalError: one does not fit its place in shared memory.
    """
    if forms or final_flag or response.parameters:
        return _encode(response, forms, final_flag)
    outputs = response.outputs
    kind = response.kind or tuple([(name, array.dtype, array.shape) for name, array in outputs.items()])
    key = (response.model_name, response.model_version, kind)
    frame = _FRAMES.get(key)
    if frame is None:
        if any(array.dtype.hasobject for array in outputs.values()):
            return _encode(response, forms, final_flag)
        if len(_FRAMES) >= _MOST_FRAMES:
            _FRAMES.clear()
        frame = _FRAMES[key] = _frame(response)
    begin, end, fields = frame
    parts: list[Buffer] = [begin, text_field(_ID, response.id), end] if response.id else [begin, end]
    for field, array in zip(fields, outputs.values(), strict=True):
        parts.append(field)
        parts.append(encode_raw(array))
    return parts


def _frame(response: InferenceResponse) -> _Frame:
    begin = service_pb2.ModelInferResponse(model_name=response.model_name, model_version=response.model_version)
    end = service_pb2.ModelInferResponse()
    for name, array in response.outputs.items():
        end.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
    fields = tuple(raw_output(encode_raw(array))[0] for array in response.outputs.values())
    return begin.SerializeToString(), end.SerializeToString(), fields


def _encode(response: InferenceResponse, forms: OutputForms, final_flag: bool) -> list[Buffer]:
    message = service_pb2.ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id
    )
    for key, value in response.parameters.items():
        _set_parameter(message.parameters[key], value)
    if final_flag:
        message.parameters["triton_final_response"].bool_param = response.final
    parts: list[Buffer] = [b""]
    add = message.outputs.add
    for name, array in response.outputs.items():
        wanted = forms.get(name, 0)
        if isinstance(wanted, SharedTensor):
            wanted.write(encode_raw(array), name)
            add(name=name, datatype=datatype_of(array), shape=array.shape)
            parts += raw_output(b"")  # keeps the indices of the others right
            continue
        if wanted:
            array = classified(array, wanted, name, response.spec)
        add(name=name, datatype=datatype_of(array), shape=array.shape)
        parts += raw_output(encode_raw(array))
    parts[0] = message.SerializeToString()
    return parts


def _set_parameter(parameter: service_pb2.InferParameter, value: Parameter) -> None:
    """Write a value into the field of its type."""
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int) and value >= _SIGNED_END:
        parameter.uint64_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


def takes_long(response: InferenceResponse, forms: OutputForms) -> bool:
    """Whether encoding takes too long for an event loop."""
    if not forms and response.kind is not None:  # as most are
        return False
    strings = 0
    for name, array in response.outputs.items():
        if isinstance(forms.get(name), SharedTensor):
            if array.nbytes > PIECE or array.dtype.hasobject:
                return True
        elif array.dtype.hasobject or name in forms:
            if array.size > _QUICK_ELEMENTS:
                return True
            strings += _string_bytes(array)
        elif array.nbytes > PIECE and not array.flags.c_contiguous:  # else its memory is sent as it is
            return True
    return strings > _QUICK_BYTES


def _string_bytes(array: np.ndarray) -> int:
    return sum(map(len, array.reshape(-1).tolist())) if array.dtype.hasobject else 0
