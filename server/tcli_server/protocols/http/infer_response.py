"""An inference response as an HTTP body: JSON, and binary tensors behind it."""

from typing import Any

import numpy as np
import orjson

from tcli_server.datatypes import BY_DTYPE
from tcli_server.protocols.classification import classified
from tcli_server.protocols.http.exchange import Body
from tcli_server.protocols.http.infer_request import ResponseForm
from tcli_server.protocols.http.json_tensors import encode_json
from tcli_server.protocols.tensors import PIECE, encode_raw
from tcli_server.request import InferenceResponse

_MOST_HEADS = 256
_HEADS: dict[tuple[str, str, object], bytes] = {}
"""JSON parts that were written, without an id, by what they say: most answers of a model differ in their tensors only."""

_QUICK_ELEMENTS = 1 << 12
"""Elements that are written, or searched for the largest, one by one within about a millisecond."""


def encode_response(response: InferenceResponse, form: ResponseForm) -> tuple[int, list[Body]]:
    """The body in parts.

    Args:
        response: with the `spec` of the model that answered, where classes are wanted.

    Returns:
        The length of the JSON part if binary tensors follow it, else 0; and the parts.

    Raises:
        InvalidArgumentError: an output cannot be sent in the form that was asked for.
        InternalError: it does not fit its place in shared memory.
    """
    if not form.all_binary or response.parameters or not response.outputs:
        return _encode(response, form)
    outputs = response.outputs
    kind = response.kind or tuple([(name, array.dtype, array.shape) for name, array in outputs.items()])
    key = (response.model_name, response.model_version, kind)
    head = _HEADS.get(key)
    if head is None:
        length, parts = _encode(response, form)
        if len(parts) == len(outputs) + 1 and not any(array.dtype.hasobject for array in outputs.values()):
            if len(_HEADS) >= _MOST_HEADS:
                _HEADS.clear()
            begin = len(_with_id(response.id)) if response.id else 1
            _HEADS[key] = b"{" + bytes(parts[0])[begin:]
        return length, parts
    if response.id:
        head = _with_id(response.id) + head[1:]
    return len(head), [head, *map(encode_raw, outputs.values())]


def _with_id(request_id: str) -> bytes:
    """How a JSON part with an id begins."""
    return b'{"id":%b,' % orjson.dumps(request_id)


def _encode(response: InferenceResponse, form: ResponseForm) -> tuple[int, list[Body]]:
    outputs: list[dict[str, Any]] = []
    blobs: list[Body] = []
    by_name, default = form.by_name, form.default
    for name, array in response.outputs.items():
        wanted = by_name.get(name, default)
        if wanted.classes:
            array = classified(array, wanted.classes, name, response.spec)
        entry: dict[str, Any] = {"name": name, "datatype": BY_DTYPE[array.dtype].name, "shape": array.shape}
        if wanted.shared is not None:
            wanted.shared.write(encode_raw(array), name)
        elif wanted.binary:
            blob = encode_raw(array)
            entry["parameters"] = {"binary_data_size": len(blob)}
            if blob:
                blobs.append(blob)
        else:
            entry["data"] = encode_json(array, name)
        outputs.append(entry)
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        document = {"id": response.id, **document}
    if response.parameters:
        document["parameters"] = response.parameters
    document["outputs"] = outputs
    head = orjson.dumps(document)
    return (len(head) if blobs else 0), [head, *blobs]


def takes_long(response: InferenceResponse, form: ResponseForm) -> bool:
    """Whether writing the response takes too long for an event loop."""
    if form.all_binary and response.kind is not None:  # as most are
        return False
    by_name, default = form.by_name, form.default
    for name, array in response.outputs.items():
        wanted = by_name.get(name, default)
        if wanted.shared is not None:
            if array.nbytes > PIECE or array.dtype.hasobject:
                return True
        elif wanted.binary and not wanted.classes and not array.dtype.hasobject:
            if array.nbytes > PIECE and not array.flags.c_contiguous:  # else its memory is sent as it is
                return True
        elif array.size > _QUICK_ELEMENTS or (array.dtype.hasobject and _long_strings(array)):
            return True
    return False


def _long_strings(array: np.ndarray) -> bool:
    return sum(map(len, array.reshape(-1).tolist())) > PIECE
