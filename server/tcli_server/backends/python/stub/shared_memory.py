"""`shared_memory`: what models that look after leaks ask of it."""

from __future__ import annotations

from .link import server


class SharedMemory:
    """The memory in which this model's outputs travel."""

    def free_memory(self) -> int:
        """Bytes that it may still take.

        Raises:
            TritonModelException: no server runs the model.
        """
        return server().responses.free


shared_memory = SharedMemory()
