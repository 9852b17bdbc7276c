"""Cutting tensors out of serialized requests agrees with protobuf's own parser."""

import pytest
from tritonclient.grpc import service_pb2 as pb

from tcli_server.protocols.grpc.wire import raw_output, split_request, varint


def test_split_agrees_with_the_parser():
    request = pb.ModelInferRequest(model_name="m", id="x", raw_input_contents=[b"", b"a" * 300, b"\x3a\x02ab"])
    request.inputs.add(name="I", datatype="FP32", shape=[1, -1]).contents.fp64_contents.extend([1.0, 2.0])
    request.parameters["p"].double_param = 0.5
    rest, tensors = split_request(request.SerializeToString())
    assert [bytes(tensor) for tensor in tensors] == list(request.raw_input_contents)
    without = pb.ModelInferRequest.FromString(rest)
    del request.raw_input_contents[:]
    assert without == request


def test_split_reads_fields_that_the_message_does_not_know():
    known = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"abc"]).SerializeToString()
    unknown = b"\xa0\x06\x96\x01" + b"\xa9\x06" + bytes(8) + b"\xad\x06" + bytes(4)  # varint, 64 bits, 32 bits
    rest, tensors = split_request(unknown + known + unknown)
    assert [bytes(tensor) for tensor in tensors] == [b"abc"]
    assert pb.ModelInferRequest.FromString(rest).model_name == "m"


@pytest.mark.parametrize(
    "data", [b"\x3a", b"\x3a\x05ab", b"\x0b", b"\x09abc", b"\xff" * 11, b"\x3a\xff\xff\xff\xff\x0f"]
)
def test_what_is_no_message_is_an_error(data: bytes):
    with pytest.raises(ValueError, match=r"truncated|wire type"):
        split_request(data)


@pytest.mark.parametrize("tensor", [b"", b"a" * 127, b"a" * 128, memoryview(b"abcd").cast("f")])
def test_outputs_behind_a_message_are_part_of_it(tensor: bytes):
    data = pb.ModelInferResponse(id="x").SerializeToString() + b"".join(raw_output(tensor))
    message = pb.ModelInferResponse.FromString(data)
    assert (message.id, list(message.raw_output_contents)) == ("x", [bytes(tensor)])


def test_varint():
    assert [varint(value) for value in (0, 127, 128, 300)] == [b"\x00", b"\x7f", b"\x80\x01", b"\xac\x02"]
