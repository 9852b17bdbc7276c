"""What is known of earlier requests changes nothing of what a request says."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcli_server.errors import ServerError
from tcli_server.protocols.http.infer_request import decode_request
from tcli_server.protocols.http.known_requests import KnownRequests

LIMIT = 1 << 20


def body(document: object, *tensors: bytes, compact: bool = True) -> tuple[bytes, int]:
    head = json.dumps(document, separators=(",", ":") if compact else None).encode()
    return head + b"".join(tensors), len(head)


def said(decode: object, data: bytes, length: int | None) -> object:
    """All that a request says, or how it is refused."""
    try:
        request, form = decode(data, length, "m", "1", LIMIT)  # type: ignore[operator]
    except ServerError as error:
        return type(error), str(error)
    inputs = {name: (array.dtype, array.shape, array.tolist()) for name, array in request.inputs.items()}
    plain = (request.id, request.outputs, request.parameters, request.priority, request.timeout_us, request.sequence_id)
    return plain, (request.sequence_start, request.sequence_end), inputs, form


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, int]:
    count = draw(st.integers(1, 3))
    document: dict[str, object] = {}
    if draw(st.booleans()):
        document["id"] = draw(st.sampled_from(("", "a", "b7", 'q"uote', "é", "a b")))
    outputs = [{"name": "O", "parameters": {"binary_data": draw(st.booleans())}}]
    document |= draw(st.sampled_from(({}, {"parameters": {"binary_data_output": True}}, {"outputs": outputs})))
    document |= draw(st.sampled_from(({}, {}, {"parameters": {"priority": 3}}, {"parameters": {"mine": 1}})))
    kind, width = draw(st.sampled_from((("FP32", 4), ("INT8", 1), ("FP32", 4))))
    tensors = {"name": "I", "datatype": kind, "shape": [1, count], "parameters": {"binary_data_size": count * width}}
    document["inputs"] = [tensors]
    late = draw(st.sampled_from(({}, {}, {"model": "x"})))
    data = draw(st.binary(min_size=count * width, max_size=count * width))
    return body(document | late, data, compact=draw(st.booleans()))


@given(st.lists(documents(), min_size=1, max_size=12))
def test_requests_of_one_kind_have_the_same_tensors_but_for_their_bytes(sent: list[tuple[bytes, int]]):
    known = KnownRequests()
    kinds: dict[object, object] = {}
    for data, length in sent * 2:
        try:
            request, form = known.decode(data, length, "m", "1", LIMIT)
        except ServerError:
            continue
        tensors = [(name, array.dtype, array.shape) for name, array in request.inputs.items()]
        if request.kind is not None:
            assert kinds.setdefault(request.kind, (tensors, request.outputs, form)) == (tensors, request.outputs, form)


def test_a_request_that_came_before_is_known_with_an_id_or_without():
    known = KnownRequests()
    tensor = {"name": "I", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}
    for said_id in ({}, {"id": ""}, {"id": "a"}):
        known.decode(*body({**said_id, "inputs": [tensor]}, b"12"), "m", "1", LIMIT)
    for said_id in ({}, {"id": ""}, {"id": "b"}):
        request, _ = known.decode(*body({**said_id, "inputs": [tensor]}, b"34"), "m", "1", LIMIT)
        assert request.kind is not None
        assert (request.id, request.inputs["I"].tolist()) == (said_id.get("id", ""), [ord("3"), ord("4")])


@given(st.lists(documents(), min_size=1, max_size=12))
def test_requests_say_the_same_whatever_came_before(sent: list[tuple[bytes, int]]):
    known = KnownRequests()
    for data, length in sent:
        assert repr(said(known.decode, data, length)) == repr(said(decode_request, data, length))


@pytest.mark.parametrize(
    "head",
    [
        b'{"id":"%s","inputs":[{"name":"I","datatype":"INT8","shape":[2],"parameters":{"binary_data_size":2}}],"id":"b"}',
        b'{"id":"%s","inputs":[{"name":"I","datatype":"INT8","shape":[2],"parameters":{"binary_data_size":2}}],"\\u0069d":"b"}',
    ],
)
def test_an_id_that_comes_twice_is_what_the_last_says(head: bytes):
    known = KnownRequests()
    for name in (b"a", b"c", b"c"):
        text = head % name
        request, _ = known.decode(text + b"\x01\x02", len(text), "m", "1", LIMIT)
        assert request.id == "b"


def test_too_few_or_too_many_bytes_are_refused_as_the_first_time():
    known = KnownRequests()
    tensor = {"name": "I", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}
    for data in (b"12", b"34"):
        request, _ = known.decode(*body({"inputs": [tensor]}, data), "m", "1", LIMIT)
        assert request.inputs["I"].tobytes() == data
    for data in (b"1", b"123", b""):
        with pytest.raises(ServerError):
            known.decode(*body({"inputs": [tensor]}, data), "m", "1", LIMIT)


def test_tensors_are_views_of_the_body():
    known = KnownRequests()
    tensor = {"name": "I", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    for _ in range(3):
        data, length = body({"inputs": [tensor]}, np.float32([1, 2]).tobytes())
        request, _ = known.decode(data, length, "m", "1", LIMIT)
        assert np.may_share_memory(request.inputs["I"], np.frombuffer(data, np.uint8))
        assert request.inputs["I"].tolist() == [[1, 2]]


def test_what_follows_an_id_is_no_request_without_it():
    known = KnownRequests()
    tensor = {"name": "I", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}
    data, length = body({"id": "a", "inputs": [tensor]}, b"12")
    for _ in range(2):
        known.decode(data, length, "m", "1", LIMIT)
    start = len(b'{"id":"a",')
    with pytest.raises(ServerError, match="failed to parse the request JSON buffer"):
        known.decode(data[start:], length - start, "m", "1", LIMIT)
