"""Cutting tensors out of serialized requests agrees with protobuf's own parser."""

import pytest
from tritonclient.grpc import service_pb2 as pb

from tcli_server.protocols.grpc.wire import (
    TooManyFieldsError,
    check_field_count,
    raw_output,
    split_load,
    split_request,
    varint,
)


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


def load_request(**files: int) -> pb.RepositoryModelLoadRequest:
    request = pb.RepositoryModelLoadRequest(model_name="m", repository_name="r")
    request.parameters["config"].string_param = "{}"
    for name, size in files.items():
        request.parameters[f"file:{name}"].bytes_param = name.encode() * size
    return request


def test_large_files_are_cut_out_of_a_load_request_and_nothing_else():
    request = load_request(a=100_000, small=10, b=200_000)
    request.parameters["text"].string_param = "x" * 100_000
    rest, files = split_load(request.SerializeToString())
    assert {name: bytes(content) for name, content in files.items()} == {
        "file:a": b"a" * 100_000,
        "file:b": b"b" * 200_000,
    }
    for name in files:
        del request.parameters[name]
    assert pb.RepositoryModelLoadRequest.FromString(rest) == request


def test_what_is_not_plainly_a_file_is_left_to_the_parser():
    content = b"a" * 100_000
    long_name = pb.RepositoryModelLoadRequest()
    long_name.parameters["file:" + "n" * 5_000].bytes_param = content
    # The last member of a choice counts, so one that is set twice must be read as protobuf reads it.
    choice = pb.ModelRepositoryParameter(bytes_param=content).SerializeToString() + b"\x08\x01"
    twice = b"\x0a\x01k\x12" + varint(len(choice)) + choice
    for data in (long_name.SerializeToString(), b"\x1a" + varint(len(twice)) + twice):
        assert split_load(data) == (data, {})


@pytest.mark.parametrize("data", [b"\x1a", b"\x1a\x05ab", b"\x0b", b"\xff" * 11, b"\x09abc"])
def test_what_is_no_load_request_is_an_error(data: bytes):
    with pytest.raises(ValueError, match=r"truncated|wire type"):
        split_load(data)


def test_fields_are_counted_down_to_those_of_inputs_and_outputs():
    request = pb.ModelInferRequest(model_name="m")
    for name in "ab":
        request.inputs.add(name=name, datatype="FP32")
    request.outputs.add(name="c")
    data = request.SerializeToString()  # 1 + 2 * (1 + 2) + (1 + 1)
    check_field_count(data, 9)
    with pytest.raises(TooManyFieldsError):
        check_field_count(data, 8)
    with pytest.raises(TooManyFieldsError):
        split_request(data, 3)
    assert split_request(data, 4) == (data, [])
