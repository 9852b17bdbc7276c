"""One GPU's memory and one stream on it, by NVIDIA's own binding of the CUDA runtime."""

from typing import Any

import numpy as np

from tcli_server.errors import InternalError, UnsupportedError

try:
    from cuda.bindings import runtime as cudart
except ImportError as error:
    raise UnsupportedError(
        f'TensorRT models need NVIDIA\'s Python binding of CUDA ({error}). Fix: pip install "tcli[tensorrt]"'
    ) from error

ALIGNMENT = 256
"""Bytes: cudaMalloc's, which TensorRT asks for."""


class Gpu:
    """A GPU as one instance uses it.

    Every method is for the thread that has called `enter`, as CUDA has a current device for each thread.

    Args:
        index: of the GPU.
        priority: of the stream: -1 high, 0 usual, 1 low.
    """

    def __init__(self, index: int, priority: int = 0) -> None:
        self.index = index
        self._memory: set[int] = set()
        self.enter()
        low, high = _done("cudaDeviceGetStreamPriorityRange", cudart.cudaDeviceGetStreamPriorityRange())
        level = {-1: high, 1: low}.get(priority, 0)
        # Not the default stream, which waits for all others and all others for it.
        flags = cudart.cudaStreamNonBlocking
        (self._stream,) = _done("cudaStreamCreateWithPriority", cudart.cudaStreamCreateWithPriority(flags, level))

    @property
    def stream(self) -> int:
        """The stream's handle, as TensorRT takes it."""
        return int(self._stream)

    def enter(self) -> None:
        """Make it the calling thread's."""
        _done("cudaSetDevice", cudart.cudaSetDevice(self.index))

    def allocate(self, size: int) -> int:
        """The address of so many bytes of its memory."""
        (address,) = _done("cudaMalloc", cudart.cudaMalloc(size))
        self._memory.add(int(address))
        return int(address)

    def free(self, address: int) -> None:
        """Give memory back."""
        self._memory.discard(address)
        _done("cudaFree", cudart.cudaFree(address))

    def copy_in(self, address: int, array: np.ndarray) -> None:
        """Copy a contiguous array to an address, after all that is under way on the stream."""
        self._copy(address, array.ctypes.data, array.nbytes, cudart.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def copy_out(self, array: np.ndarray, address: int) -> None:
        """Fill a contiguous array from an address, after all that is under way; it is there once `wait` returns."""
        self._copy(array.ctypes.data, address, array.nbytes, cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def wait(self) -> None:
        """Until all that was asked of the stream is done."""
        _done("cudaStreamSynchronize", cudart.cudaStreamSynchronize(self._stream))

    def close(self) -> None:
        """Give all memory and the stream back."""
        self.enter()
        for address in list(self._memory):
            self.free(address)
        _done("cudaStreamDestroy", cudart.cudaStreamDestroy(self._stream))

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        if size:
            _done("cudaMemcpyAsync", cudart.cudaMemcpyAsync(target, source, size, kind, self._stream))


def _done(call: str, result: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a call has given beside its error code.

    Raises:
        InternalError: it failed.
    """
    code, *values = result
    if code != cudart.cudaError_t.cudaSuccess:
        _, text = cudart.cudaGetErrorString(code)
        words = text.decode() if isinstance(text, bytes) else text
        raise InternalError(f"CUDA: {call} failed: {words} ({getattr(code, 'name', code)})")
    return tuple(values)
