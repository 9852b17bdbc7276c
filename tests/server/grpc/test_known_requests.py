"""What is known of earlier messages changes nothing of what a message says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from tcli_server.errors import ServerError
from tcli_server.protocols.grpc.infer_request import decode_request
from tcli_server.protocols.grpc.known_requests import KnownRequests
from tcli_server.request import InferenceRequest

Asked = tuple[InferenceRequest, object]


def message(*tensors: bytes, name: str = "m", **fields: object) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=name, **fields)
    for number, tensor in enumerate(tensors):
        request.inputs.add(name=f"I{number}", datatype="INT8", shape=[len(tensor)])
        request.raw_input_contents.append(tensor)
    return request


def read(data: bytes) -> Asked:
    request = pb.ModelInferRequest.FromString(data)
    return decode_request(request, request.raw_input_contents)


def said(asked: Asked) -> object:
    request, classes = asked
    inputs = {name: (array.dtype, array.shape, array.tobytes()) for name, array in request.inputs.items()}
    options = (request.priority, request.timeout_us, request.sequence_id, request.sequence_start, request.sequence_end)
    return request.model_name, request.model_version, request.id, request.outputs, options, inputs, classes


def check(known: KnownRequests, data: bytes) -> bool:
    """Whether a message was known; it says what it says either way."""
    expected = read(data)
    found = known.decode(data)
    if found is None:
        known.learn(data, *expected)
    else:
        assert said(found) == said(expected)
        assert found[0].byte_size == sum(array.nbytes for array in found[0].inputs.values())
    return found is not None


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    size = draw(st.integers(1, 3))
    tensors = draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=2))
    request = message(*tensors, name=draw(st.sampled_from(("m", "n"))))
    request.id = draw(st.sampled_from(("", "a", "bc", "é", "x" * 200)))
    request.model_version = draw(st.sampled_from(("", "", "7")))
    if draw(st.booleans()):
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    if draw(st.integers(0, 3)) == 0:
        request.parameters["priority"].int64_param = 2
    if draw(st.integers(0, 3)) == 0:
        request.parameters[draw(st.sampled_from(("sequence_start", "sequence_end")))].bool_param = True
    for name in draw(st.sampled_from(((), ("O",), ("P", "O")))):
        request.outputs.add(name=name).parameters["classification"].int64_param = draw(st.integers(1, 2))
    return request.SerializeToString()


@given(st.lists(messages(), min_size=1, max_size=4), st.integers(1, 8))
def test_messages_say_the_same_whatever_came_before(sent: list[bytes], times: int):
    known = KnownRequests()
    for data in sent * times:
        check(known, data)


def test_a_message_that_comes_again_is_known_with_another_id_and_other_tensors():
    known = KnownRequests()
    found = [check(known, message(b"%d%d" % (n, n), b"x", id=str(n)).SerializeToString()) for n in range(9)]
    assert found[-1]


@pytest.mark.parametrize("late", [{"id": "late"}, {"model_name": "late"}, {"model_version": "8"}])
def test_a_field_that_comes_twice_is_what_the_last_says(late: dict[str, str]):
    known = KnownRequests()
    whole = message(b"ab", id="first").SerializeToString()
    tensors = whole.index(b"\x3a")
    twice = whole[:tensors] + pb.ModelInferRequest(**late).SerializeToString() + whole[tensors:]
    for _ in range(9):
        assert not check(known, twice)


def test_tensors_before_the_other_fields_are_found_where_they_are():
    known = KnownRequests()
    for number in range(9):
        whole = message(b"%d!" % number, id="i").SerializeToString()
        tensors = whole.index(b"\x3a")
        check(known, whole[tensors:] + whole[:tensors])
        check(known, whole)
        check(known, pb.ModelInferRequest(model_name="m").SerializeToString() + whole[tensors:] + whole[3:tensors])


def test_other_sizes_behind_the_same_beginning_are_not_taken_for_known():
    known = KnownRequests()
    for _ in range(9):
        check(known, message(b"ab", b"cd").SerializeToString())
    other = message(b"ab", b"cd")
    del other.raw_input_contents[:]
    other.raw_input_contents.extend([b"a", b"bcd"])  # as many bytes in all
    data = other.SerializeToString()
    assert known.decode(data) is None
    with pytest.raises(ServerError):
        read(data)


def test_broken_messages_are_not_known():
    known = KnownRequests()
    whole = message(b"ab", id="i", model_version="1").SerializeToString()
    for _ in range(9):
        check(known, whole)
    assert known.decode(whole) is not None
    for end in range(len(whole)):
        assert known.decode(whole[:end]) is None


def test_an_empty_id_that_comes_late_counts():
    known = KnownRequests()
    for request_id in ("", "", "", "", "a"):
        whole = message(b"ab", id=request_id).SerializeToString()
        tensors = whole.index(b"\x3a")
        check(known, whole[:tensors] + b"\x1a\x00" + whole[tensors:])


@pytest.mark.parametrize("flag", ["sequence_start", "sequence_end"])
def test_flags_of_a_sequence_are_heard_where_there_is_no_sequence(flag: str):
    known = KnownRequests()
    whole = message(b"ab")
    whole.parameters[flag].bool_param = True
    for _ in range(9):
        check(known, whole.SerializeToString())


def test_what_only_protobuf_can_read_is_left_to_it():
    known = KnownRequests()
    group = b"\xa3\x06\xa4\x06"  # begins and ends field 100, which nobody knows
    for _ in range(9):
        assert not check(known, message(b"ab").SerializeToString() + group)
