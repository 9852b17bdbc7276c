"""`pb_utils.Tensor`: what it is made of, what it gives, what travels."""

import ml_dtypes
import numpy as np
import pytest

from tcli_server import datatypes
from tcli_server.backends.python.stub.errors import TritonModelException
from tcli_server.backends.python.stub.pb_utils import Tensor

NUMBERS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.float64).reshape(2, 3).T,
    np.arange(12, dtype=np.int16).reshape(3, 4)[:, ::2],
    np.asfortranarray(np.arange(6, dtype=np.uint64).reshape(2, 3)),
    np.full((), 7, np.int8),
    np.zeros((0, 4), np.int32),
    np.array([True, False]),
    np.array([1, 2.5], np.float16),
    np.arange(5000, dtype=np.uint8),
    np.arange(5000, dtype=np.int64)[::-1],
]
STRINGS = [
    (np.array([b"a\0", b"", b"\xff"], object), [b"a\0", b"", b"\xff"]),
    (np.array(["ä", b"b", 3, None], object), ["ä".encode(), b"b", b"3", b"None"]),
    (np.array([bytearray(b"x"), np.bytes_(b"y"), np.str_("z")], object), [b"x", b"y", b"z"]),
    (np.array([b"x", b"longer"]), [b"x", b"longer"]),
    (np.array(["ä", "longer"]), ["ä".encode(), b"longer"]),
    (np.array([b"same", b"size", b"each"], object), [b"same", b"size", b"each"]),
    (np.array([], object), []),
]


def received(tensor: Tensor) -> Tensor:
    """The same tensor on the other side of the wire."""
    buffer = np.full(tensor.nbytes, 0xAA, np.uint8)
    tensor.write_to(memoryview(buffer))  # type: ignore[arg-type]
    return Tensor._received(tensor.name(), tensor.datatype, tensor.shape(), buffer)


@pytest.mark.parametrize("array", NUMBERS, ids=lambda array: f"{array.dtype}{list(array.shape)}")
def test_numbers_travel_as_they_are(array: np.ndarray):
    tensor = Tensor("x", array)
    assert (tensor.name(), tensor.shape(), tensor.nbytes) == ("x", list(array.shape), array.nbytes)
    assert tensor.datatype == datatypes.datatype_of(array)
    assert tensor.is_cpu()
    for one in (tensor, received(tensor)):
        got = one.as_numpy()
        assert (got.dtype, got.shape, got.flags.c_contiguous) == (array.dtype, array.shape, True)
        np.testing.assert_array_equal(got, array)
        assert one.as_numpy() is got
        assert (one.shape(), one.triton_dtype(), one.nbytes) == (tensor.shape(), tensor.triton_dtype(), tensor.nbytes)


@pytest.mark.parametrize(("array", "expected"), STRINGS, ids=["bytes", "mixed", "like", "S", "U", "same", "none"])
def test_strings_travel_as_bytes(array: np.ndarray, expected: list[bytes]):
    tensor = Tensor("x", array)
    assert (tensor.datatype, tensor.triton_dtype(), tensor.shape()) == ("BYTES", 13, [len(expected)])
    assert tensor.as_numpy() is array
    got = received(tensor).as_numpy()
    assert (got.dtype, got.tolist()) == (np.object_, expected)


def test_strings_keep_their_shape_in_c_order():
    array = np.array([[b"a", b"b", b"c"], [b"d", b"e", b"f"]], object)
    got = received(Tensor("x", array.T))
    assert got.shape() == [3, 2]
    np.testing.assert_array_equal(got.as_numpy(), array.T)


def test_what_is_in_c_order_is_not_copied():
    array = np.zeros((2, 3), np.float32)
    assert Tensor("x", array).as_numpy() is array
    buffer = np.zeros(24, np.uint8)
    tensor = Tensor._received("x", "FP32", [2, 3], buffer)
    tensor.as_numpy()[:] = 1
    assert buffer.any()


def test_an_array_outlives_its_tensor():
    array = Tensor._received("x", "INT32", [1000], np.zeros(4000, np.uint8)).as_numpy()
    array[:] = 5
    assert array.sum() == 5000


def test_numbers_in_the_other_byte_order_are_turned():
    got = received(Tensor("x", np.arange(4, dtype=">i4")))
    assert (got.datatype, got.as_numpy().tolist()) == ("INT32", [0, 1, 2, 3])


def test_numbers_of_numpy_and_its_kinds_of_arrays_are_arrays():
    assert received(Tensor("x", np.float32(2.5))).as_numpy() == np.float32(2.5)  # type: ignore[arg-type]
    masked = np.ma.masked_array(np.arange(3), [0, 1, 0])
    assert received(Tensor("x", masked)).as_numpy().tolist() == [0, 1, 2]


def test_bf16_is_taken_and_travels_but_is_nothing_for_numpy():
    array = np.array([1, -2], ml_dtypes.bfloat16)
    tensor = Tensor("x", array)
    assert (tensor.datatype, tensor.triton_dtype(), tensor.nbytes) == ("BF16", 14, 4)
    got = received(tensor)
    with pytest.raises(TritonModelException, match="Tensor dtype is BF16 and cannot be converted to NumPy: tensor 'x'"):
        got.as_numpy()
    buffer = np.zeros(4, np.uint8)
    got.write_to(memoryview(buffer))  # type: ignore[arg-type]
    assert buffer.view(ml_dtypes.bfloat16).tolist() == [1, -2]


@pytest.mark.parametrize("array", [
    np.zeros(2, np.complex64), np.zeros(2, "datetime64[s]"), np.zeros(2, np.longdouble), np.zeros(2, "V3"),
], ids=str)  # fmt: skip
def test_types_that_do_not_travel_are_refused(array: np.ndarray):
    with pytest.raises(TritonModelException, match=r"NumPy dtype is not supported: tensor 'x' is .*, expected bool"):
        Tensor("x", array)


def test_a_tensor_needs_a_name_and_an_array():
    with pytest.raises(TritonModelException, match="Tensor name cannot be an empty string"):
        Tensor("", np.zeros(1))
    with pytest.raises(TypeError, match="name: expected a str, found NoneType"):
        Tensor(None, np.zeros(1))  # type: ignore[arg-type]
    for wrong in (None, [1, 2], b"x"):
        with pytest.raises(TypeError, match=r"numpy_array: expected a numpy.ndarray, found"):
            Tensor("x", wrong)  # type: ignore[arg-type]


def test_a_text_without_utf8_is_refused():
    with pytest.raises(TritonModelException, match="element 1 of a string tensor is no text that UTF-8 has"):
        Tensor("x", np.array(["fine", "\ud800"], object))


@pytest.mark.parametrize(("data", "says"), [
    (b"\5\0\0\0abc", "element 0 has 3 of its 5 bytes"),
    (b"\1\0\0\0a\1\0", "ends after 2 of the 4 bytes of the length of element 1"),
], ids=["element", "length"])  # fmt: skip
def test_strings_that_end_too_early_are_refused(data: bytes, says: str):
    with pytest.raises(TritonModelException, match=says):
        Tensor._received("x", "BYTES", [1], np.frombuffer(data, np.uint8)).as_numpy()


def test_a_buffer_of_another_size_is_refused():
    for array in (np.zeros(2, np.float32), np.zeros(5000, np.float32), np.array([b"a"], object)):
        with pytest.raises(ValueError, match="different structures"):
            Tensor("x", array).write_to(memoryview(bytearray(7)))


def test_the_shape_is_the_caller_s_to_change():
    tensor = Tensor._received("x", "INT8", [2], np.zeros(2, np.uint8))
    tensor.shape().append(3)
    assert tensor.shape() == [2]


def test_it_says_what_it_is():
    assert repr(Tensor("x", np.zeros((2, 3), np.float32))) == "Tensor('x', FP32, shape [2, 3])"
