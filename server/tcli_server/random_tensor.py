"""Random values for a model that nobody has real ones for."""

from collections.abc import Sequence

import numpy as np

from tcli_server.datatypes import BY_NAME


def random_tensor(datatype: str, shape: Sequence[int], random: np.random.Generator) -> np.ndarray:
    """A tensor of V2 type `datatype` with values that no model stumbles over.

    Floats are standard normal, UINT8 is a picture (0 to 255), other integers are 0 or 1, so that they index the
    smallest embedding table; BYTES elements are short ASCII strings.
    """
    dtype = BY_NAME[datatype].dtype
    if datatype == "BYTES":
        words = np.array([b"alpha", b"beta", b"gamma", b"delta"], dtype=np.object_)
        return words[random.integers(0, len(words), size=shape)].reshape(shape)
    if datatype == "BOOL":
        return random.integers(0, 2, size=shape).astype(np.bool_)
    if datatype == "UINT8":
        return random.integers(0, 256, size=shape, dtype=np.uint8)
    if dtype.kind in "iu":
        return random.integers(0, 2, size=shape).astype(dtype)
    return random.standard_normal(size=shape, dtype=np.float32).astype(dtype)
