"""`PreferredMemory`: where a model would like the outputs of other models to be."""

from __future__ import annotations

from enum import Enum


class MemoryType(Enum):
    """CPU or GPU memory."""

    TRITONSERVER_MEMORY_CPU = 0
    TRITONSERVER_MEMORY_GPU = 1


TRITONSERVER_MEMORY_CPU = MemoryType.TRITONSERVER_MEMORY_CPU
TRITONSERVER_MEMORY_GPU = MemoryType.TRITONSERVER_MEMORY_GPU


class PreferredMemory:
    """A wish of an `InferenceRequest` that a model builds.

    Args:
        preferred_memory_type: `TRITONSERVER_MEMORY_CPU` or `TRITONSERVER_MEMORY_GPU`.
        preferred_device_id: which GPU.

    Raises:
        TypeError: an argument is of another type.
    """

    __slots__ = ("device_id", "memory_type")

    def __init__(self, preferred_memory_type: MemoryType, preferred_device_id: int = 0) -> None:
        if not isinstance(preferred_memory_type, MemoryType):
            raise TypeError(
                "preferred_memory_type: expected TRITONSERVER_MEMORY_CPU or TRITONSERVER_MEMORY_GPU, "
                f"found {preferred_memory_type!r}"
            )
        if isinstance(preferred_device_id, bool) or not isinstance(preferred_device_id, int):
            raise TypeError(f"preferred_device_id: expected an int, found {preferred_device_id!r}")
        self.memory_type = preferred_memory_type
        self.device_id = preferred_device_id
