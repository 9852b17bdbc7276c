"""Tensors to and from other libraries by DLPack: ONNX Runtime's and numpy's stand for all."""

import gc
import sys
import weakref

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi import _pybind_state as runtime

from tcli_server.backends.python.stub import dlpack
from tcli_server.backends.python.stub.errors import TritonModelException
from tcli_server.backends.python.stub.pb_utils import Tensor

TYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
ARRAYS = [np.arange(6).reshape(2, 3).astype(name) for name in TYPES]


def value(array: np.ndarray) -> "onnxruntime.OrtValue":
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


@pytest.mark.parametrize("array", ARRAYS, ids=TYPES)
def test_the_memory_of_another_library_is_taken_over(array: np.ndarray):
    for source in (value(array)._ortvalue, array):
        tensor = Tensor.from_dlpack("x", source)
        assert (tensor.name(), tensor.shape(), tensor.is_cpu()) == ("x", [2, 3], True)
        assert tensor.datatype == Tensor("x", array).datatype
        np.testing.assert_array_equal(tensor.as_numpy(), array)
        del source
        gc.collect()
        buffer = np.zeros(array.nbytes, np.uint8)
        tensor.write_to(memoryview(buffer))  # type: ignore[arg-type]
        np.testing.assert_array_equal(buffer.view(array.dtype).reshape(array.shape), array)


@pytest.mark.parametrize("array", ARRAYS, ids=TYPES)
def test_another_library_takes_the_memory_over(array: np.ndarray):
    tensor = Tensor("x", array)
    given = runtime.OrtValue.from_dlpack(tensor.to_dlpack(), False)
    np.testing.assert_array_equal(given.numpy(), array)
    assert given.data_ptr() == array.ctypes.data
    np.testing.assert_array_equal(np.from_dlpack(tensor), array)
    assert tensor.__dlpack_device__() == (1, 0)


def test_what_came_from_the_wire_is_given_without_a_copy():
    buffer = np.zeros(16, np.uint8)
    given = np.from_dlpack(Tensor._received("x", "FP32", [2, 2], buffer))
    buffer.view(np.float32)[:] = [1, 2, 3, 4]
    assert given.tolist() == [[1, 2], [3, 4]]


def test_bool_both_ways():
    array = np.array([True, False])
    assert Tensor.from_dlpack("x", array).as_numpy().tolist() == [True, False]
    again = Tensor.from_dlpack("x", Tensor("x", array))
    assert (again.datatype, again.as_numpy().tolist()) == ("BOOL", [True, False])
    assert np.from_dlpack(Tensor("x", array)).tolist() == [True, False]


def test_bf16_both_ways_which_numpy_has_not():
    array = np.array([[1, 2], [3, -0.5]], ml_dtypes.bfloat16)
    given = runtime.OrtValue.from_dlpack(Tensor("x", array).to_dlpack(), False)
    assert given.data_type() == "tensor(bfloat16)"
    again = Tensor.from_dlpack("x", given)
    assert (again.datatype, again.shape(), again.nbytes) == ("BF16", [2, 2], 8)
    buffer = np.zeros(8, np.uint8)
    again.write_to(memoryview(buffer))  # type: ignore[arg-type]
    assert buffer.view(ml_dtypes.bfloat16).tolist() == [1, 2, 3, -0.5]


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 4, 1)], ids=str)
def test_shapes_at_the_edge(shape: tuple[int, ...]):
    tensor = Tensor.from_dlpack("x", np.zeros(shape, np.float32))
    assert (tensor.shape(), tensor.as_numpy().shape) == (list(shape), shape)
    assert np.from_dlpack(tensor).shape == shape


def test_memory_lives_as_long_as_anybody_looks_at_it():
    class Watched(np.ndarray):
        pass

    array = np.zeros(1000, np.float32).view(Watched)
    gone = weakref.ref(array)
    tensor = Tensor._received("x", "FP32", [1000], array.view(np.uint8))
    given = np.from_dlpack(tensor)
    again = Tensor.from_dlpack("y", given)
    del array, tensor, given
    gc.collect()
    assert gone() is not None
    assert again.as_numpy().sum() == 0
    del again
    gc.collect()
    assert gone() is None


def test_a_capsule_that_nobody_takes_holds_nothing_for_good():
    buffer = np.zeros(4, np.uint8).view(type("Watched", (np.ndarray,), {}))
    gone = weakref.ref(buffer)
    tensor = Tensor._received("x", "FP32", [1], buffer)
    for _ in range(3):
        tensor.to_dlpack()
    del buffer, tensor
    gc.collect()
    assert gone() is None


def test_read_only_memory_is_given_as_triton_gives_it():
    array = np.arange(3)
    array.flags.writeable = False
    assert np.from_dlpack(Tensor("x", array)).tolist() == [0, 1, 2]
    assert Tensor.from_dlpack("x", array).as_numpy().tolist() == [0, 1, 2]


def test_strings_are_refused():
    with pytest.raises(TritonModelException, match=r"^DLPack does not have support for string tensors\.$"):
        Tensor("x", np.array([b"a"], object)).to_dlpack()


def test_memory_in_another_order_is_refused():
    with pytest.raises(TritonModelException, match="DLPack tensor is not contiguous"):
        Tensor.from_dlpack("x", np.zeros((2, 3), np.float32).T.__dlpack__())


def test_types_that_do_not_travel_are_refused():
    with pytest.raises(TritonModelException, match=r"DLPack type \(code 5, 64 bits, 1 lanes\) is not supported"):
        Tensor.from_dlpack("x", np.zeros(2, np.complex64).__dlpack__())


def test_a_capsule_is_good_for_one():
    capsule = np.zeros(2).__dlpack__()
    Tensor.from_dlpack("x", capsule)
    with pytest.raises(TritonModelException, match="this DLPack capsule was used before"):
        Tensor.from_dlpack("x", capsule)


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TritonModelException, match=r"Provided tensor is not supported\..* found list"):
        Tensor.from_dlpack("x", [1])
    with pytest.raises(TritonModelException, match="Tensor name cannot be an empty string"):
        Tensor.from_dlpack("", np.zeros(1))
    with pytest.raises(TypeError, match="name: expected a str"):
        Tensor.from_dlpack(None, np.zeros(1))  # type: ignore[arg-type]


class Elsewhere:
    """A tensor on a device that this server does not know."""

    def __dlpack__(self, **_: object) -> object:
        raise AssertionError("not to be asked")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 7, 0


def test_devices_that_are_not_known_are_refused():
    with pytest.raises(TritonModelException, match="DLDevice type 7 is not supported by the Python backend"):
        Tensor.from_dlpack("x", Elsewhere())


class Pinned:
    """Memory of the CPU that CUDA reads fast."""

    def __dlpack__(self, **_: object) -> object:
        return dlpack.exported(np.arange(3, dtype=np.int8), [3], "INT8", (3, 0))

    def __dlpack_device__(self) -> tuple[int, int]:
        return 3, 0


def test_pinned_memory_is_memory_of_the_cpu():
    tensor = Tensor.from_dlpack("x", Pinned())
    assert (tensor.is_cpu(), tensor.__dlpack_device__(), tensor.as_numpy().tolist()) == (True, (3, 0), [0, 1, 2])


def test_a_consumer_cannot_ask_for_another_device_or_a_copy():
    tensor = Tensor("x", np.zeros(1))
    with pytest.raises(BufferError, match=r"on DLPack device \(1, 0\), not on \(2, 0\)"):
        tensor.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="without a copy only"):
        tensor.__dlpack__(copy=True)


def test_a_capsule_keeps_the_tensor_alive():
    tensor = Tensor("X", np.zeros(3, np.float32))
    before = sys.getrefcount(tensor)
    capsule = tensor.to_dlpack()
    assert sys.getrefcount(tensor) == before + 1
    del capsule
    assert sys.getrefcount(tensor) == before
