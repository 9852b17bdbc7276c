"""From a picture to the numbers that a model takes: resized, cropped, scaled, in its layout."""

import numpy as np
from PIL import Image

from tcli_server.backends.image.parameters import NONE, SHORTER_SIDE, Plan
from tcli_server.backends.image.picture_error import PictureError
from tcli_server.datatypes import BY_NAME

Box = tuple[float, float, float, float]


class Pixels:
    """Makes one picture after the other into the same form.

    Attributes:
        dtype: of the output.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._size = (plan.width, plan.height)
        self._resample = Image.Resampling[plan.interpolation.upper()]
        self.dtype = BY_NAME[plan.datatype].dtype
        steps: list[tuple[np.ufunc, np.ndarray]] = []
        if plan.scale is not None:
            if plan.scale.denominator != 1:
                steps.append((np.divide, self._constant((plan.scale.denominator,))))
            if plan.scale.numerator != 1:
                steps.append((np.multiply, self._constant((plan.scale.numerator,))))
        if plan.mean is not None and any(plan.mean):
            steps.append((np.subtract, self._constant(plan.mean)))
        if plan.std is not None and any(number != 1 for number in plan.std):
            steps.append((np.divide, self._constant(plan.std)))
        self._steps = steps

    def write(self, image: Image.Image, into: np.ndarray) -> None:
        """Fill an array of the plan's shape with the picture.

        Raises:
            PictureError: the picture is too small or too long for the plan.
        """
        pixels = np.asarray(self._resized(image))
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        elif self._plan.color_format == "BGR":
            pixels = pixels[:, :, ::-1]
        if self._plan.channels_first:
            pixels = pixels.transpose(2, 0, 1)
        if not self._steps:
            into[...] = pixels
            return
        work = into if into.dtype == np.float32 else np.empty(into.shape, np.float32)
        for index, (step, constant) in enumerate(self._steps):
            step(work if index else pixels, constant, out=work, dtype=np.float32)
        if work is not into:
            into[...] = work

    def _constant(self, numbers: tuple[float, ...]) -> np.ndarray:
        array = np.asarray(numbers, np.float32)
        return array.reshape(-1, 1, 1) if self._plan.channels_first else array

    def _resized(self, image: Image.Image) -> Image.Image:
        plan = self._plan
        box = self._box(image.width, image.height)
        if plan.resize == NONE:
            left, top = int(box[0]), int(box[1])
            return image.crop((left, top, left + plan.width, top + plan.height))
        # What Pillow makes in between has the new width and the old height: a gigantic one for a hair of a picture.
        rows = box[3] - box[1]
        if plan.width * rows > max(plan.max_pixels, plan.width * plan.height):
            raise PictureError(
                f"the picture has {image.width} x {image.height} pixels, which is too long for its width", "crop it"
            )
        return image.resize(self._size, self._resample, box)

    def _box(self, width: int, height: int) -> Box:
        """The part of the picture that is left after resizing and cropping; sizes are rounded as torchvision does it.

        Resizing this part alone gives the same pixels, and needs no more memory for a longer picture.
        """
        plan = self._plan
        tall, wide = plan.resize_to
        if plan.resize == SHORTER_SIDE:
            tall, wide = (int(wide * height / width), wide) if width <= height else (tall, int(tall * width / height))
        elif plan.resize == NONE:
            tall, wide = height, width
            if tall < plan.height or wide < plan.width:
                raise PictureError(
                    f"the picture has {width} x {height} pixels, the model takes {plan.width} x {plan.height} of them, and "
                    'its configuration says resize: "none"',
                    "send a larger one",
                )
        top, left = round((tall - plan.height) / 2), round((wide - plan.width) / 2)
        across, down = width / wide, height / tall
        right, bottom = min(width, (left + plan.width) * across), min(height, (top + plan.height) * down)
        return (left * across, top * down, right, bottom)
