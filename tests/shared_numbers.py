"""Objects of system shared memory, made by NVIDIA's own helper."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import numpy as np
import tritonclient.utils.shared_memory as shm

NUMBERS = np.arange(4, dtype=np.float32).reshape(1, 4)


@contextmanager
def shared_numbers() -> Iterator[str]:
    """The name of an object of 4096 bytes that begins with `NUMBERS`."""
    name = f"/tcli-test-{uuid4().hex}"
    handle = shm.create_shared_memory_region("mine", name, 4096)
    shm.set_shared_memory_region(handle, [NUMBERS])
    yield name
    shm.destroy_shared_memory_region(handle)
