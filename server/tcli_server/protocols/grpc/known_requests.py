"""Requests that came before with other tensors: all but the id and the tensors' bytes is the same, and is not read again."""

from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from tcli_server.protocols.grpc.infer_request import OutputForms
from tcli_server.protocols.grpc.rpc import Message
from tcli_server.protocols.grpc.wire import TooManyFieldsError, raw_input, split_request
from tcli_server.protocols.tensors import Shape
from tcli_server.request import InferenceRequest

_MOST = 256
_LARGEST = 1 << 11
"""Bytes beside the tensors of a request that is remembered."""

_HEAD = 2 * _LARGEST
"""Bytes of a request in which all of that is."""

_MOST_FIELDS = 500
"""Fields to look at, tensors included, as it is in the event loop that one looks."""

_LEARN_EACH = 4
"""One of so many unknown requests is looked at closely: where no two are alike, that is for nothing."""

_MODEL_NAME, _MODEL_VERSION, _ID = (
    (number << 3) | 2
    for number in (
        service_pb2.ModelInferRequest.MODEL_NAME_FIELD_NUMBER,
        service_pb2.ModelInferRequest.MODEL_VERSION_FIELD_NUMBER,
        service_pb2.ModelInferRequest.ID_FIELD_NUMBER,
    )
)
_ONE_BYTE = 0x80
"""Lengths below it are written in one byte."""

_SAID = service_pb2.ModelInferRequest(model_name="-", model_version="-", id="-")

_Key = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class _KnownInput:
    """A tensor of fixed size.

    Attributes:
        field: what stands before its bytes, which begin at `offset` behind the id.
    """

    name: str
    dtype: np.dtype
    shape: Shape
    field: bytes
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What stands between the id and the first tensor's bytes, and what it says."""

    middle: bytes
    name: str
    version: str
    inputs: tuple[_KnownInput, ...]
    outputs: tuple[str, ...]
    forms: OutputForms
    byte_size: int


class KnownRequests:
    """What was learned of one server's ModelInferRequests; says nothing of the model, and nothing of others' data."""

    def __init__(self) -> None:
        self._known: dict[_Key, _Known] = {}
        self._unknown = 0

    def decode(self, data: Message) -> tuple[InferenceRequest, OutputForms] | None:
        """The request; None for one that has to be read."""
        beginning = data if isinstance(data, bytes) else bytes(data[:_HEAD])
        split = _split_id(beginning, len(data))
        if split is None:
            return None
        key, request_id, start = split
        known = self._known.get(key)
        if known is None or not beginning.startswith(known.middle, start):
            return None
        inputs = {}
        for one in known.inputs:
            begin = start + one.offset
            if data[begin - len(one.field) : begin] != one.field:
                return None
            inputs[one.name] = np.ndarray(one.shape, one.dtype, data, begin)
        request = InferenceRequest(known.name, inputs, known.outputs, known.version, request_id)
        request.kind, request.byte_size = known, known.byte_size
        return request, known.forms

    def learn(self, data: Message, request: InferenceRequest, forms: OutputForms) -> None:
        """Remember a request that was read, if it has nothing but raw tensors of fixed size, behind all else."""
        self._unknown += 1
        if self._unknown % _LEARN_EACH:
            return
        split = _split_id(bytes(data[:_HEAD]), len(data))
        if split is None or request.parameters or request.priority or request.timeout_us or request.sequence_id:
            return
        if request.sequence_start or request.sequence_end:
            return
        key, request_id, start = split
        arrays = request.inputs
        try:
            rest, tensors = split_request(data, _MOST_FIELDS)
        except (ValueError, TooManyFieldsError):  # only protobuf's own parser knows what it says
            return
        plain = all(not array.dtype.hasobject and array.size and array.shape for array in arrays.values())
        if not plain or len(tensors) != len(arrays) or not tensors or request.id != request_id:
            return
        if not start <= len(rest) <= _LARGEST or data[: len(rest)] != rest or not _says_no_more(rest[start:]):
            return
        inputs, offset = [], len(rest) - start
        for name, array in arrays.items():
            field = raw_input(array.nbytes)
            offset += len(field)
            inputs.append(_KnownInput(name, array.dtype, array.shape, field, offset))
            offset += array.nbytes
        if start + offset != len(data):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        middle = rest[start:] + inputs[0].field
        self._known[key] = _Known(
            middle,
            request.model_name,
            request.model_version,
            tuple(inputs),
            request.outputs,
            forms,
            sum([array.nbytes for array in arrays.values()]),
        )


def _split_id(data: bytes, whole: int) -> tuple[_Key, str, int] | None:
    """What a request of `whole` bytes that begins so is known by, its id, and where what follows begins.

    None where it is not written as usual.
    """
    try:
        if data[0] != _MODEL_NAME or data[1] >= _ONE_BYTE:
            return None
        end = 2 + data[1]
        if data[end] == _MODEL_VERSION:
            if data[end + 1] >= _ONE_BYTE:
                return None
            end += 2 + data[end + 1]
        if data[end] != _ID:
            return (data[:end], whole - end), "", end
        size, begin = data[end + 1], end + 2
        if size >= _ONE_BYTE:
            return None
        start = begin + size
        return (data[:end], whole - start), data[begin:start].decode(), start
    except (IndexError, UnicodeDecodeError):
        return None


def _says_no_more(middle: bytes) -> bool:
    """Whether these are whole fields, and none of them changes what `_split_id` has read."""
    try:
        message = service_pb2.ModelInferRequest.FromString(_SAID.SerializeToString() + middle)
    except DecodeError:
        return False
    # Even an empty one counts that comes later.
    return bool(message.model_name == message.model_version == message.id == "-")
