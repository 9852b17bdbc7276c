"""Requests whose JSON part came before: a client asks the same of other tensors again and again, and only the id differs."""

import re
from dataclasses import dataclass

import numpy as np

from tcli_server.protocols.http.exchange import Body
from tcli_server.protocols.http.infer_request import ResponseForm, decode_request
from tcli_server.protocols.shared_memory import NO_SHARED_MEMORY, SystemSharedMemory
from tcli_server.protocols.tensors import Shape
from tcli_server.request import InferenceRequest

_MOST = 256
_LARGEST = 1 << 11
"""Bytes of a JSON part that is remembered."""

_ID = re.compile(rb'\{"id": ?"([\w.:-]{0,128})", ?')
"""How a JSON part begins that has an id, as NVIDIA's clients write it."""


@dataclass(frozen=True, slots=True)
class _KnownInput:
    """Where an input lies behind the JSON part, and what it is."""

    name: str
    dtype: np.dtype
    shape: Shape
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    inputs: tuple[_KnownInput, ...]
    size: int
    outputs: tuple[str, ...]
    form: ResponseForm


class KnownRequests:
    """Reads requests as `decode_request` does, and those whose JSON part it knows without reading that again.

    What it remembers says nothing of the model, and nothing of other requests' data. From any thread.
    """

    def __init__(self, shared: SystemSharedMemory = NO_SHARED_MEMORY) -> None:
        self._shared = shared
        self._known: dict[bytes, _Known] = {}

    def decode(
        self, body: Body, json_length: int | None, name: str, version: str, max_input_size: int, quickly: bool = False
    ) -> tuple[InferenceRequest, ResponseForm]:
        """As `decode_request`."""
        if json_length is None or not 0 < json_length < len(body) or json_length > _LARGEST:
            return decode_request(body, json_length, name, version, max_input_size, quickly, self._shared)
        text = bytes(body[:json_length])
        key, rest, request_id = text, text, ""
        known = self._known.get(text)
        if known is None and (match := _ID.match(text)) is not None:
            rest, request_id = text[match.end() :], match[1].decode()
            if request_id:
                key = b"{" + rest
                known = self._known.get(key)
        if known is None or known.size != len(body) - json_length or json_length > max_input_size:
            request, form = decode_request(body, json_length, name, version, max_input_size, quickly, self._shared)
            if b"\\" not in rest and b'"id"' not in rest and b'"data"' not in rest:
                self._learn(key, request, form, len(body) - json_length)
            return request, form
        inputs = {}
        for one in known.inputs:  # several times as fast as a comprehension, which is a function of its own
            inputs[one.name] = np.ndarray(one.shape, one.dtype, body, json_length + one.offset)
        request = InferenceRequest(name, inputs, known.outputs, version, request_id)
        request.kind = known
        return request, known.form

    def _learn(self, key: bytes, request: InferenceRequest, form: ResponseForm, size: int) -> None:
        """Remember a request that has nothing but binary tensors of fixed size."""
        if request.parameters or request.priority or request.timeout_us or request.sequence_id:
            return
        if request.sequence_start or request.sequence_end:
            return
        if request.byte_size or any(output.shared is not None for output in form.by_name.values()):
            return  # a region's name means another one tomorrow
        inputs, offset = [], 0
        for name, array in request.inputs.items():
            if array.dtype.hasobject or not array.size or not array.shape:
                return
            inputs.append(_KnownInput(name, array.dtype, array.shape, offset))
            offset += array.nbytes
        if offset != size:  # some are written in the JSON part
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = _Known(tuple(inputs), size, request.outputs, form)
