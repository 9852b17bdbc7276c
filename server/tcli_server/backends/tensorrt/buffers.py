"""The memory of an instance's inputs and outputs: had once, for the largest that may come, and used again."""

from typing import Any

import numpy as np
import tensorrt as trt

from tcli_server.backends.tensorrt.description import Shape
from tcli_server.backends.tensorrt.device import Gpu


class Buffers:
    """Memory on a GPU by the names of tensors; it grows where more is needed than was foreseen."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._held: dict[str, tuple[int, int]] = {}

    def at_least(self, name: str, size: int, cleared: bool = False) -> int:
        """The address of a tensor's memory, which has so many bytes or more.

        Args:
            cleared: new memory is to be zeros.
        """
        address, held = self._held.get(name, (0, 0))
        if address and size <= held:
            return address
        size = max(1, size)  # CUDA has no memory of 0 bytes, and TensorRT wants an address of every tensor
        fresh = self._gpu.allocate(size)
        if address:
            self._gpu.wait()
            self._gpu.free(address)
        self._held[name] = (fresh, size)
        if cleared:
            self._gpu.copy_in(fresh, np.zeros(size, np.uint8))
            self._gpu.wait()  # before the zeros are gone
        return fresh


class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
    """Memory for an output whose shape its values decide: TensorRT asks for it while it runs.

    Attributes:
        address: of what was computed last.
        shape: of that.
    """

    def __init__(self, buffers: Buffers) -> None:
        trt.IOutputAllocator.__init__(self)
        self._buffers = buffers
        self.address = 0
        self.shape: Shape = ()

    def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:  # noqa: ARG002
        """As `IOutputAllocator.reallocate_output`; cudaMalloc aligns by more than TensorRT asks for."""
        self.address = self._buffers.at_least(tensor_name, size)
        return self.address

    def reallocate_output_async(self, tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int:  # noqa: ARG002
        """As `IOutputAllocator.reallocate_output_async`."""
        return self.reallocate_output(tensor_name, memory, size, alignment)

    def notify_shape(self, tensor_name: str, shape: Any) -> None:  # noqa: ARG002
        """As `IOutputAllocator.notify_shape`."""
        self.shape = tuple(shape)
