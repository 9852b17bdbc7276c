"""Tensors on a GPU; what needs one runs where there is one."""

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tcli_server.backends.python.stub import dlpack
from tcli_server.backends.python.stub.errors import TritonModelException
from tcli_server.backends.python.stub.pb_utils import Tensor
from tcli_server.hardware.gpu import gpu_count

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


class OnGpu:
    """A tensor of another library's on a GPU: an address, and what keeps it valid."""

    def __init__(self, address: int, owner: object) -> None:
        data = np.asarray(dlpack._Memory(address, (ARRAY.nbytes,), "|u1", owner))
        self._imported = dlpack.Imported(data, "FP32", list(ARRAY.shape), (2, 0))
        self.streams: list[Any] = []

    def __dlpack__(self, stream: Any = None) -> Any:
        self.streams.append(stream)
        return dlpack.exported(self._imported, self._imported.shape, "FP32", (2, 0))

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


@pytest.fixture
def nowhere() -> OnGpu:
    """Memory that says of itself that it is on a GPU; nobody looks at it."""
    return OnGpu(ARRAY.ctypes.data, ARRAY)


def test_it_is_described_without_a_look_at_it(nowhere: OnGpu):
    for source in (nowhere, nowhere.__dlpack__()):
        tensor = Tensor.from_dlpack("x", source)
        assert (tensor.name(), tensor.datatype, tensor.shape(), tensor.nbytes) == ("x", "FP32", [2, 3], 24)
        assert not tensor.is_cpu()
        assert tensor.__dlpack_device__() == (2, 0)
        with pytest.raises(TritonModelException, match=r"^Tensor is stored in GPU and cannot be converted to NumPy\.$"):
            tensor.as_numpy()
    assert 1 in nowhere.streams  # the default stream waits for what is under way


def test_it_is_handed_on(nowhere: OnGpu):
    again = Tensor.from_dlpack("y", Tensor.from_dlpack("x", nowhere))
    assert (again.is_cpu(), again.__dlpack_device__(), again.shape()) == (False, (2, 0), [2, 3])
    assert again._data.address == ARRAY.ctypes.data  # type: ignore[union-attr]


@pytest.mark.skipif(gpu_count() > 0, reason="there is a GPU")
def test_without_a_driver_it_cannot_be_sent(nowhere: OnGpu):
    with pytest.raises(TritonModelException, match="a tensor is on a GPU, but CUDA's driver cannot be loaded"):
        Tensor.from_dlpack("x", nowhere).write_to(memoryview(bytearray(24)))


@pytest.fixture
def there() -> Iterator[OnGpu]:
    """`ARRAY` on the first GPU, put there by the driver."""
    driver = ctypes.CDLL("libcuda.so.1")
    device, context, address = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    assert driver.cuInit(0) == 0
    assert driver.cuDeviceGet(ctypes.byref(device), 0) == 0
    assert driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    assert driver.cuCtxPushCurrent_v2(context) == 0
    assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(ARRAY.nbytes)) == 0
    assert driver.cuMemcpyHtoD_v2(address, ctypes.c_void_p(ARRAY.ctypes.data), ctypes.c_size_t(ARRAY.nbytes)) == 0
    driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    yield OnGpu(address.value, None)
    driver.cuCtxPushCurrent_v2(context)
    driver.cuMemFree_v2(address)
    driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    driver.cuDevicePrimaryCtxRelease_v2(device)


@pytest.mark.skipif(gpu_count() == 0, reason="there is no GPU")
def test_it_is_sent_from_a_gpu(there: OnGpu):
    buffer = np.zeros(24, np.uint8)
    Tensor.from_dlpack("x", there).write_to(memoryview(buffer))  # type: ignore[arg-type]
    np.testing.assert_array_equal(buffer.view(np.float32).reshape(2, 3), ARRAY)
