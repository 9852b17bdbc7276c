"""The rest of `triton_python_backend_utils`: errors, data types, strings, looking up, constants."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tcli_server
from tcli_server.backends.python.stub import pb_utils
from tcli_server.backends.python.stub.pb_utils import InferenceTrace, PreferredMemory, Tensor, TritonError

CODES = {
    np.bool_: 1, np.uint8: 2, np.uint16: 3, np.uint32: 4, np.uint64: 5, np.int8: 6, np.int16: 7, np.int32: 8, np.int64: 9,
    np.float16: 10, np.float32: 11, np.float64: 12, np.object_: 13,
}  # fmt: skip


def test_error_codes_are_triton_s():
    names = [
        "UNKNOWN",
        "INTERNAL",
        "NOT_FOUND",
        "INVALID_ARG",
        "UNAVAILABLE",
        "UNSUPPORTED",
        "ALREADY_EXISTS",
        "CANCELLED",
    ]
    assert [getattr(TritonError, name) for name in names] == list(range(8))
    error = TritonError("text")
    assert (error.message(), error.code()) == ("text", TritonError.INTERNAL)
    assert TritonError(message="text", code=TritonError.CANCELLED).code() == 7


def test_errors_have_a_text_and_a_code():
    with pytest.raises(TypeError, match="message: expected a str, found NoneType"):
        TritonError(None)  # type: ignore[arg-type]
    for code in (8, -1, "INTERNAL", None, True):
        with pytest.raises(TypeError, match="code: expected one of TritonError's constants"):
            TritonError("text", code)  # type: ignore[arg-type]


def test_data_types_by_their_codes():
    for kind, code in CODES.items():
        assert pb_utils.triton_to_numpy_type(code) is kind
        assert pb_utils.numpy_to_triton_type(kind) == code
        assert pb_utils.numpy_to_triton_type(np.dtype(kind)) == code
    assert [pb_utils.triton_to_numpy_type(code) for code in (0, 14, 15)] == [None] * 3
    for unknown in (np.complex64, np.dtype("datetime64[s]"), None, "no type", 3.5):
        assert pb_utils.numpy_to_triton_type(unknown) is None


def test_data_types_by_their_names():
    for name, kind in pb_utils.TRITON_STRING_TO_NUMPY.items():
        assert pb_utils.triton_string_to_numpy(name) is kind
        assert np.dtype(kind).type in CODES
    assert pb_utils.triton_string_to_numpy("TYPE_STRING") is np.object_
    assert len(pb_utils.TRITON_STRING_TO_NUMPY) == 13
    for unknown in ("TYPE_BF16", "FP32"):
        with pytest.raises(KeyError):
            pb_utils.triton_string_to_numpy(unknown)


def test_strings_are_serialised_behind_their_lengths():
    array = np.array([["ä", b"\0"], ["", 12]], object)
    expected = b"".join(struct.pack("<I", len(text)) + text for text in ("ä".encode(), b"\0", b"", b"12"))
    assert pb_utils.serialize_byte_tensor(array) == expected
    assert pb_utils.serialize_byte_tensor(np.array([b"a", b"bc"])) == b"\1\0\0\0a\2\0\0\0bc"
    assert pb_utils.serialize_byte_tensor(np.array([], object)) == ()
    assert pb_utils.serialize_byte_tensor(np.zeros(2)) is None
    got = pb_utils.deserialize_bytes_tensor(expected)
    assert (got.dtype, got.tolist()) == (np.object_, ["ä".encode(), b"\0", b"", b"12"])
    assert pb_utils.deserialize_bytes_tensor(b"").shape == (0,)


def test_strings_of_any_lengths_come_back():
    random = np.random.default_rng(0)
    for longest in (0, 1, 3, 300):
        for count in (1, 2, 7, 100):
            texts = [random.bytes(int(random.integers(0, longest + 1))) for _ in range(count)]
            serialised = pb_utils.serialize_byte_tensor(np.array([*texts, None], object)[:-1])
            assert pb_utils.deserialize_bytes_tensor(serialised).tolist() == texts
            same = [text.ljust(longest, b"\0")[:longest] for text in texts]
            serialised = b"".join(struct.pack("<I", longest) + text for text in same)
            assert pb_utils.deserialize_bytes_tensor(memoryview(serialised)).tolist() == same


def test_lengths_that_only_add_up_as_if_they_were_the_same():
    texts = [b"abc", *(b"ab", b"abcd") * 50]
    serialised = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    assert pb_utils.deserialize_bytes_tensor(serialised).tolist() == texts


class Message:
    """A request and a response, as the functions look at them."""

    def __init__(self, *tensors: Tensor) -> None:
        self.inputs = self.output_tensors = lambda: list(tensors)


def test_tensors_and_configurations_are_found_by_name():
    tensor = Tensor("b", np.zeros(1))
    message = Message(Tensor("a", np.zeros(1)), tensor)
    config = {"input": [{"name": "a"}, {"name": "b", "dims": [1]}], "output": [{"name": "c"}]}
    for find in (pb_utils.get_input_tensor_by_name, pb_utils.get_output_tensor_by_name):
        assert find(message, "b") is tensor
        assert find(message, "c") is None
    assert pb_utils.get_input_config_by_name(config, "b") == {"name": "b", "dims": [1]}
    assert pb_utils.get_output_config_by_name(config, "c") == {"name": "c"}
    assert pb_utils.get_output_config_by_name(config, "a") is None
    assert pb_utils.get_input_config_by_name({}, "a") is None


def test_whether_a_model_is_decoupled():
    using = pb_utils.using_decoupled_model_transaction_policy
    assert using({"model_transaction_policy": {"decoupled": True}})
    assert not any(
        map(using, ({"model_transaction_policy": {"decoupled": False}}, {"model_transaction_policy": {}}, {}))
    )


def test_preferred_memory_and_traces():
    PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU)
    PreferredMemory(preferred_memory_type=pb_utils.TRITONSERVER_MEMORY_GPU, preferred_device_id=1)
    with pytest.raises(TypeError, match="preferred_memory_type: expected TRITONSERVER_MEMORY_CPU"):
        PreferredMemory(0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="preferred_device_id: expected an int"):
        PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, None)  # type: ignore[arg-type]
    assert (InferenceTrace().get_context(), InferenceTrace("{}").get_context()) == (None, "{}")


def test_flags_are_triton_s():
    assert (pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END) == (
        1,
        2,
    )
    assert pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL == 1
    assert (pb_utils.TRITONSERVER_REQUEST_RELEASE_ALL, pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE) == (1, 2)


def test_without_a_server_it_can_be_imported_and_says_what_needs_one():
    """As in the unit tests that people write for their models."""
    folder = Path(tcli_server.__file__).parent / "backends" / "python"
    program = (
        "import numpy, stub.pb_utils as pb_utils\n"
        "pb_utils.Tensor('x', numpy.zeros(1))\n"
        "for call in (lambda: pb_utils.load_model('m'), lambda: pb_utils.MetricFamily('a', '', pb_utils.MetricFamily.GAUGE)):\n"
        "    try:\n        call()\n"
        "    except pb_utils.TritonModelException as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert len(re.findall("this needs a server", done.stdout)) == 2
