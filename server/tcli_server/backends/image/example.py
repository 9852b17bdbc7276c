"""Pictures that nobody has taken, for trials."""

import io

import numpy as np
from PIL import Image

_SIZE = (48, 64)


def random_picture(random: np.random.Generator) -> np.ndarray:
    """The bytes of a PNG file, in noise of a brightness of its own, as BYTES [1]."""
    brightest = int(random.integers(32, 257))
    pixels = random.integers(0, brightest, size=(*_SIZE, 3), dtype=np.uint16).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return np.array([file.getvalue()], np.object_)
