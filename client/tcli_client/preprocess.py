"""From a picture file to the array that a model takes: size, layout, datatype and scaling of the values."""

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
from PIL import Image

from tcli_client.errors import OptionError
from tcli_client.fitting import Fitting, Values
from tcli_client.picture import read_picture
from tcli_client.tensors import DTYPES, Array

Layout = Literal["NCHW", "NHWC"]

_VGG_MEAN = (123, 117, 104)
_VGG_GREY_MEAN = 128
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_IMAGENET_GREY_MEAN, _IMAGENET_GREY_STD = 0.449, 0.226


class Scaling(StrEnum):
    """What becomes of pixel values x = 0..255 in R, G, B order.

    NONE: x. INCEPTION: x / 127.5 - 1. VGG: x - (123, 117, 104), grey x - 128. These three as in Triton's image clients.
    IMAGENET: (x / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), grey (x / 255 - 0.449) / 0.226, as torchvision's
    models want it.
    """

    NONE = "NONE"
    INCEPTION = "INCEPTION"
    VGG = "VGG"
    IMAGENET = "IMAGENET"


@dataclass(frozen=True)
class PictureFormat:
    """The form in which a model takes one picture.

    Attributes:
        channels: 3 for RGB, 1 for grey.
        layout: NCHW for [channels, height, width], NHWC for [height, width, channels].
        datatype: V2's name, "FP32".
        fitting: how a picture gets its size; stretched by default.
        is_bgr: the order of the channels is B, G, R.
    """

    height: int
    width: int
    channels: int
    layout: Layout
    datatype: str
    fitting: Fitting = field(default_factory=Fitting)
    is_bgr: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture, without a batch dimension."""
        if self.layout == "NCHW":
            return (self.channels, self.height, self.width)
        return (self.height, self.width, self.channels)

    @property
    def mode(self) -> str:
        """Pillow's name for pictures of so many channels."""
        return "L" if self.channels == 1 else "RGB"

    @property
    def reading_size(self) -> tuple[int, int]:
        """Width and height that a picture needs when it has been read."""
        return self.fitting.reading_size((self.width, self.height))


def preprocess(path: str | os.PathLike[str], form: PictureFormat, scaling: Scaling | Values) -> Array:
    """Read a picture and bring it into a model's form.

    By default stretched to the model's size without keeping the aspect, bilinear, as Triton's Python image client does it:
    without EXIF rotation and transparency, FP32 values are the same as that client's.

    Returns:
        An array of `form.shape` and the dtype of `form.datatype`.

    Raises:
        ImageError: the picture cannot be read.
        OptionError: the datatype cannot hold the scaled values.
    """
    check_scaling(scaling, form)
    return as_input(read_picture(path, form.mode, form.reading_size), form, scaling)


def as_input(picture: Image.Image, form: PictureFormat, scaling: Scaling | Values) -> Array:
    """What `preprocess` gives, of a picture that has been read.

    Args:
        picture: of the mode `form.mode`, of any size.
        scaling: one that `check_scaling` does not refuse.

    Raises:
        ImageError: it is too small for a model that takes pictures as they are.
    """
    pixels = np.asarray(form.fitting.fit(picture, (form.width, form.height)))
    pixels = pixels.reshape(form.height, form.width, form.channels)
    scaled = _scaled(pixels, form, scaling, np.float64 if form.datatype == "FP64" else np.float32)
    if form.layout == "NCHW":
        scaled = scaled.transpose(2, 0, 1)
    return np.ascontiguousarray(scaled, dtype=DTYPES[form.datatype])


def check_scaling(scaling: Scaling | Values, form: PictureFormat) -> None:
    """Refuse values that the model's datatype cannot hold, instead of letting them wrap around.

    Raises:
        OptionError: says which scaling fits.
    """
    dtype = DTYPES[form.datatype]
    if dtype.kind not in "iu":
        return
    if isinstance(scaling, Values) or scaling in (Scaling.INCEPTION, Scaling.IMAGENET):
        raise OptionError(
            f"{scaling.value} scaling gives fractions, which the model's {form.datatype} input cannot hold",
            "use scaling NONE",
        )
    lowest, highest = 0, 255
    if scaling == Scaling.VGG:
        means = (_VGG_GREY_MEAN,) if form.channels == 1 else _VGG_MEAN
        lowest, highest = -max(means), 255 - min(means)
    limits = np.iinfo(dtype)
    if lowest < limits.min or highest > limits.max:
        raise OptionError(
            f"{scaling} scaling gives values from {lowest} to {highest}, the model's {form.datatype} input holds "
            f"{limits.min} to {limits.max}",
            "use scaling NONE" if scaling == Scaling.VGG and limits.max >= 255 else "",
        )


def _scaled(
    pixels: Array, form: PictureFormat, scaling: Scaling | Values, work: type[np.float32 | np.float64]
) -> Array:
    """The model's values, its channels last and in its order."""
    if isinstance(scaling, Values):
        return scaling.apply(pixels[:, :, ::-1] if form.is_bgr else pixels, work)
    named = _named(pixels, scaling, work)
    return named[:, :, ::-1] if form.is_bgr else named


def _named(pixels: Array, scaling: Scaling, work: type[np.float32 | np.float64]) -> Array:
    def constant(value: float | tuple[float, ...]) -> Array:
        return np.asarray(value, dtype=work)

    values: Array = pixels.astype(work)
    grey = pixels.shape[-1] == 1
    match scaling:
        case Scaling.NONE:
            pass
        case Scaling.INCEPTION:
            values = values / constant(127.5) - constant(1)
        case Scaling.VGG:
            values = values - constant(_VGG_GREY_MEAN if grey else _VGG_MEAN)
        case Scaling.IMAGENET:
            mean = constant(_IMAGENET_GREY_MEAN if grey else _IMAGENET_MEAN)
            values = (values / constant(255) - mean) / constant(_IMAGENET_GREY_STD if grey else _IMAGENET_STD)
    return values
