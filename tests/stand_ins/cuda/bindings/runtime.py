"""The CUDA runtime's memory and streams, on the CPU: a stream's work is done when somebody waits for it."""

import ctypes
import enum
import os
import threading
from collections.abc import Callable

cudaStreamNonBlocking = 1

_MEMORY = int(os.environ.get("STAND_IN_GPU_MEMORY", 1 << 30))
_allocations: dict[int, ctypes.Array] = {}
_streams: dict[int, list[Callable[[], None]]] = {}
_device = threading.local()
_lock = threading.RLock()


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidDevice = 101


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


_TEXTS = {1: b"invalid argument", 2: b"out of memory", 101: b"invalid device ordinal"}


def cudaGetErrorString(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    return cudaError_t.cudaSuccess, _TEXTS[error]


def cudaSetDevice(device: int) -> tuple[cudaError_t]:
    if device != 0:
        return (cudaError_t.cudaErrorInvalidDevice,)
    _device.index = device
    return (cudaError_t.cudaSuccess,)


def _check_device() -> None:
    assert getattr(_device, "index", None) is not None, "this thread has chosen no device"


def cudaDeviceGetStreamPriorityRange() -> tuple[cudaError_t, int, int]:
    return cudaError_t.cudaSuccess, 0, -5


class cudaStream_t:
    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __int__(self) -> int:
        return self._handle


def cudaStreamCreateWithPriority(flags: int, priority: int) -> tuple[cudaError_t, cudaStream_t]:
    _check_device()
    assert flags == cudaStreamNonBlocking
    assert -5 <= priority <= 0
    with _lock:
        handle = max(_streams, default=0x5000) + 16
        _streams[handle] = []
    return cudaError_t.cudaSuccess, cudaStream_t(handle)


def cudaStreamDestroy(stream: cudaStream_t) -> tuple[cudaError_t]:
    with _lock:
        assert not _streams.pop(int(stream)), "work is left on a stream that is destroyed"
    return (cudaError_t.cudaSuccess,)


def enqueue(stream: int, work: Callable[[], None]) -> None:
    _check_device()
    with _lock:
        _streams[stream].append(work)


def cudaStreamSynchronize(stream: cudaStream_t) -> tuple[cudaError_t]:
    _check_device()
    with _lock:
        queue = _streams[int(stream)]
        while queue:
            queue.pop(0)()
    return (cudaError_t.cudaSuccess,)


def cudaMalloc(size: int) -> tuple[cudaError_t, int | None]:
    _check_device()
    assert size > 0
    with _lock:
        if sum(map(ctypes.sizeof, _allocations.values())) + size > _MEMORY:
            return cudaError_t.cudaErrorMemoryAllocation, None
        memory = (ctypes.c_char * size)()
        ctypes.memset(memory, 0xAB, size)
        _allocations[ctypes.addressof(memory)] = memory
        return cudaError_t.cudaSuccess, ctypes.addressof(memory)


def cudaFree(address: int) -> tuple[cudaError_t]:
    with _lock:
        if _allocations.pop(address, None) is None:
            return (cudaError_t.cudaErrorInvalidValue,)
    return (cudaError_t.cudaSuccess,)


def check_on_device(address: int, size: int) -> None:
    with _lock:
        inside = any(
            begin <= address and address + size <= begin + ctypes.sizeof(memory)
            for begin, memory in _allocations.items()
        )
    assert inside, f"{size} bytes at {address:#x} are not in the GPU's memory"


def cudaMemcpyAsync(
    target: int, source: int, size: int, kind: cudaMemcpyKind, stream: cudaStream_t
) -> tuple[cudaError_t]:
    if kind == cudaMemcpyKind.cudaMemcpyHostToDevice:
        check_on_device(target, size)
        content = ctypes.string_at(source, size)  # from memory that is not pinned a copy is made first
        enqueue(int(stream), lambda: ctypes.memmove(target, content, size) and None)
    else:
        check_on_device(source, size)
        enqueue(int(stream), lambda: ctypes.memmove(target, source, size) and None)
    return (cudaError_t.cudaSuccess,)
