"""Pictures that nobody has taken, for trials and as a load to measure with."""

from io import BytesIO

import numpy as np
from PIL import Image

_WIDTH, _HEIGHT = 640, 480
_QUALITY = 85
_COARSE = 20
"""Pixels of a side of the spots that it consists of."""

_GRAIN = 8.0


def random_picture(random: np.random.Generator) -> np.ndarray:
    """The bytes of a JPEG file, soft spots with some grain, in a brightness of its own, as BYTES [1].

    It has 640 x 480 pixels and some 80 KB, and is as much to decode as a photo of that size.
    """
    brightest = int(random.integers(32, 257))
    spots = random.integers(0, brightest, (_HEIGHT // _COARSE, _WIDTH // _COARSE, 3), np.uint16).astype(np.uint8)
    soft = Image.fromarray(spots).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)
    grain = random.normal(0, _GRAIN, (_HEIGHT, _WIDTH, 1))
    pixels = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return np.array([file.getvalue()], np.object_)
