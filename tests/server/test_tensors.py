"""Tensors as raw bytes: what fits a shape, and what is said of what does not."""

import numpy as np
import pytest

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.tensors import PIECE, bytes_array, decode_raw, encode_raw


def decode(data: bytes, datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    return decode_raw(data, BY_NAME[datatype], shape, "x", "m")


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (1, 0), (2**40, 0, 2**10)])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_no_elements_take_no_bytes(shape: tuple[int, ...], datatype: str):
    assert decode(b"", datatype, shape).shape == shape
    for data in (bytes(4), bytes(8)):
        with pytest.raises(InvalidArgumentError):
            decode(data, datatype, shape)


def test_a_tensor_may_have_64_dimensions():
    shape = (1,) * 63 + (2,)
    array = decode(np.array([5, 7], np.float32).tobytes(), "FP32", shape)
    assert (array.shape, array.ravel().tolist()) == (shape, [5, 7])
    assert decode(b"", "FP32", (1,) * 63 + (0,)).size == 0
    with pytest.raises(InvalidArgumentError, match="more than 64 dimensions"):
        decode(bytes(8), "FP32", (1, *shape))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "expected 2 string elements for inference input 'x' for model 'm', got 0"),
        (b"\x01\0\0\0a", "expected 2 string elements for inference input 'x' for model 'm', got 1"),
        (b"\x01\0\0\0a\0\0\0", "incomplete string length indicator .* expecting 4 bytes but only 3 bytes available"),
        (
            b"\x01\0\0\0a\x02\0\0\0b",
            "incomplete string data .* expecting string of length 2 but only 1 bytes available",
        ),
        (b"\0\0\0\0\0\0\0\0\0", "unexpected number of string elements .* expecting 2, but 1 bytes follow them"),
    ],
    ids=["none", "too few", "half a length", "half a string", "too many"],
)
def test_strings_that_do_not_fit_their_shape(data: bytes, text: str):
    with pytest.raises(InvalidArgumentError, match=text):
        decode(data, "BYTES", (2,))


@pytest.mark.parametrize("count", [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 1])
def test_strings_of_many_pieces_come_back(count: int):
    elements = [b"%d" % index for index in range(count)]
    array = np.array(elements, np.object_)
    data = encode_raw(array)
    assert len(data) == sum(4 + len(element) for element in elements)
    assert decode(bytes(data), "BYTES", (count,)).tolist() == elements


@pytest.mark.parametrize("count", [10, PIECE // 4, PIECE // 4 + 1])
def test_a_tensor_that_lies_otherwise_in_memory_is_sent_in_row_major_order(count: int):
    array = np.arange(3 * count, dtype=np.float32).reshape(3, count)
    assert bytes(encode_raw(array.T)) == np.ascontiguousarray(array.T).tobytes()


@pytest.mark.parametrize("shape", [(-1, 4), (-1, -4), (4, -1)])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_every_dimension_has_to_be_given(shape: tuple[int, ...], datatype: str):
    text = rf"All input dimensions should be specified for input 'x' .*, got \[{shape[0]},{shape[1]}\]"
    with pytest.raises(InvalidArgumentError, match=text):
        decode(bytes(16), datatype, shape)


LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("shape", "datatype", "text"),
    [
        ((LARGEST,), "UINT8", f"byte size mismatch .* Expected {LARGEST}, got 4"),
        ((LARGEST, 0), "UINT8", "byte size mismatch .* Expected 0, got 4"),
        ((2**62, 2), "UINT8", f"element count to exceed maximum size of {LARGEST}"),
        ((2**61, 0, 4), "UINT8", f"element count to exceed maximum size of {LARGEST}"),
        ((2**61,), "FP32", f"takes more than the maximum size of {LARGEST} bytes"),
        ((2**61, 0), "FP32", f"takes more than the maximum size of {LARGEST} bytes"),
        ((2**61 - 1,), "FP32", f"byte size mismatch .* Expected {4 * (2**61 - 1)}, got 4"),
        ((2**40,), "BYTES", f"expected {2**40} string elements .* got 1"),
    ],
)
def test_sizes_are_counted_in_63_bits_whatever_was_sent(shape: tuple[int, ...], datatype: str, text: str):
    with pytest.raises(InvalidArgumentError, match=text):
        decode(bytes(4), datatype, shape)


@pytest.mark.parametrize(("datatype", "element"), [("FP32", 0.0), ("BYTES", b"")])
def test_of_a_shape_without_dimensions_no_data_is_looked_at(datatype: str, element: object):
    array = decode(b"whatever", datatype, ())
    assert (array.shape, array.item()) == ((), element)


def test_empty_strings_are_elements_too():
    assert decode(bytes(4 * 100), "BYTES", (10, 10)).tolist() == [[b""] * 10] * 10


@pytest.mark.parametrize("count", [0, 1, PIECE, 2 * PIECE + 1])
def test_strings_in_an_array(count: int):
    elements = [b"%d" % index for index in range(count)]
    assert bytes_array(elements, (count, 1)).ravel().tolist() == elements
