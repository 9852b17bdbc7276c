"""How a picture gets the size that a model takes, and how its pixels get their values, where a configuration says so itself.

As the server's backend `image` does it, to the bit.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from tcli_client.errors import ImageError
from tcli_client.tensors import Array

EXACT, SHORTER_SIDE, NONE = "exact", "shorter_side", "none"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Fitting:
    """From a picture of any size to one of the model's.

    Attributes:
        resize: `exact`: stretched; `shorter_side`: its proportions kept; `none`: only cut. What is larger than the model's
            size then loses its borders.
        resize_to: height and width before the cut, both the shorter side for `shorter_side`; None for the model's size.
        interpolation: by Pillow's name.
    """

    resize: str = EXACT
    resize_to: tuple[int, int] | None = None
    interpolation: str = "bilinear"

    def fit(self, picture: Image.Image, size: tuple[int, int]) -> Image.Image:
        """A picture of that width and height.

        Raises:
            ImageError: nothing is to be resized, and the picture is too small.
        """
        if self.resize == EXACT and self.resize_to is None:
            return picture.resize(size, Image.Resampling[self.interpolation.upper()])
        box = self._box(picture.width, picture.height, size)
        if self.resize == NONE:
            left, top = int(box[0]), int(box[1])
            return picture.crop((left, top, left + size[0], top + size[1]))
        return picture.resize(size, Image.Resampling[self.interpolation.upper()], box)

    def reading_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height that a picture has between the resize and the cut, at least."""
        return size if self.resize_to is None else (self.resize_to[1], self.resize_to[0])

    def _box(self, width: int, height: int, size: tuple[int, int]) -> Box:
        """The part of the picture that is left after resizing and cropping: resizing this part alone is the same."""
        wide, tall = size
        if self.resize == NONE:
            if width < wide or height < tall:
                raise ImageError(
                    f"the picture has {width} x {height} pixels, and the model, which takes {wide} x {tall}, wants none "
                    "resized",
                    "give a larger one",
                )
            tall_then, wide_then = height, width
        else:
            tall_then, wide_then = self.resize_to or ((max(size),) * 2 if self.resize == SHORTER_SIDE else (tall, wide))
        if self.resize == SHORTER_SIDE:
            tall_then, wide_then = (
                (int(wide_then * height / width), wide_then)
                if width <= height
                else (tall_then, int(tall_then * width / height))
            )
        top, left = round((tall_then - tall) / 2), round((wide_then - wide) / 2)
        across, down = width / wide_then, height / tall_then
        right, bottom = min(width, (left + wide) * across), min(height, (top + tall) * down)
        return (left * across, top * down, right, bottom)


@dataclass(frozen=True)
class Values:
    """x = 0..255 becomes (x * scale - mean) / std, mean and std in the order of the model's channels.

    Attributes:
        scale: numerator and denominator.
        mean, std: one number, or one for each channel; None where nothing is done.
    """

    scale: tuple[float, float] = (1, 1)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def value(self) -> str:
        """In words, as a named scaling has its name."""
        numerator, denominator = self.scale
        text = (
            "x" + (f" * {numerator:g}" if numerator != 1 else "") + (f" / {denominator:g}" if denominator != 1 else "")
        )
        text = f"({text} - {_listed(self.mean)})" if self.mean is not None else text
        return f"{text} / {_listed(self.std)}" if self.std is not None else text

    def apply(self, pixels: Array, work: type[np.float32 | np.float64]) -> Array:
        """The values of pixels, channels last."""
        numerator, denominator = self.scale
        values: Array = pixels.astype(work)
        if denominator != 1:
            values = values / work(denominator)
        if numerator != 1:
            values = values * work(numerator)
        if self.mean is not None:
            values = values - np.asarray(self.mean, work)
        if self.std is not None:
            values = values / np.asarray(self.std, work)
        return values


def _listed(numbers: tuple[float, ...]) -> str:
    texts = [f"{number:g}" for number in numbers]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
