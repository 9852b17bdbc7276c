"""From the bytes of a picture to the picture as people see it: upright, in RGB or grey, on white.

The same as `tcli infer` makes of the file; a test compares them.
"""

import struct
import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tcli_server.backends.image.formats import JPEG, PNG, WEBP, picture_format, webp_size
from tcli_server.backends.image.parameters import Plan
from tcli_server.backends.image.picture_error import PictureError

# Of odd metadata: what clients send is not to be told on the server's terminal. A picture that cannot be read is an error.
warnings.filterwarnings("ignore", module=r"PIL\.")

_OPENERS: dict[str, Callable[[BytesIO], ImageFile]] = {JPEG: JpegImageFile, PNG: PngImageFile, WEBP: WebPImageFile}
"""Called by themselves: `Image.open` tries other formats, and has one limit of pixels for the whole process."""

_PASSES = 16
"""How many times over a JPEG of `max_pixels` may be painted. A progressive one usually is 10 times; any number of passes
that hold nothing takes only a few bytes each."""

_STRIP_PIXELS = 1 << 20

_START_OF_SCAN = b"\xff\xda"


def decode(content: bytes, plan: Plan) -> Image.Image:
    """Decode a picture; its limits are looked at before.

    EXIF rotation is applied where the plan says so. Transparent parts become white, samples of 16 bits are brought to 8,
    and of an animation it is the first frame.

    Returns:
        An image of mode RGB, or of mode L where the plan is grey, of its own size.

    Raises:
        PictureError: says what the bytes are, or what is wrong with them.
    """
    if not content:
        raise PictureError("the picture is empty: it has 0 bytes")
    if len(content) > plan.max_bytes:
        raise PictureError(
            f"the picture has {len(content):,} bytes, max_bytes allows {plan.max_bytes:,}", "make it smaller"
        )
    kind = picture_format(content)
    if kind == WEBP:
        _check_size(*webp_size(content), plan)
    try:
        with _OPENERS[kind](BytesIO(content)) as image:
            _check_size(*image.size, plan)
            if kind == JPEG:
                _check_passes(content, image.width * image.height, plan)
            image.load()
            if plan.exif_transpose:
                ImageOps.exif_transpose(image, in_place=True)
            return _flattened(image, "L" if plan.color_format == "GRAY" else "RGB")
    except PictureError:
        raise
    except MemoryError:
        raise PictureError("the picture does not fit into the server's memory", "make it smaller") from None
    except Exception as problem:  # decoders meet damaged files with exceptions of every kind
        raise PictureError(_damage(problem, kind)) from None


def _check_size(width: int, height: int, plan: Plan) -> None:
    if width * height > plan.max_pixels:
        raise PictureError(
            f"the picture has {width} x {height} pixels, which are {width * height:,}; max_pixels allows "
            f"{plan.max_pixels:,}",
            "make it smaller",
        )


def _check_passes(content: bytes, pixels: int, plan: Plan) -> None:
    passes = content.count(_START_OF_SCAN)
    if passes * pixels > _PASSES * max(plan.max_pixels, 1):
        raise PictureError(f"the picture is painted in {passes} passes, too many for its size", "save it anew")


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # grey with 16 bits
        image = Image.fromarray(_grey8(np.asarray(image)))
    if image.has_transparency_data:
        return _on_white(image, mode)
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    """Strip by strip: Pillow lets nobody else run while it puts one picture on another."""
    result = Image.new(mode, image.size)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        white.alpha_composite(strip)
        result.paste(white.convert(mode), (0, top))
    return result


def _grey8(samples: np.ndarray) -> np.ndarray:
    """0..65535 to 0..255, rounded."""
    quotient, rest = np.divmod(samples, 257)
    result: np.ndarray = (quotient + (rest > 128)).astype(np.uint8)
    return result


def _damage(problem: Exception, kind: str) -> str:
    text = str(problem) or type(problem).__name__
    if "truncated" in text.lower() or isinstance(problem, EOFError):
        return f"the picture is truncated: the {kind} ends before the picture does"
    if isinstance(problem, (SyntaxError, struct.error)):  # of the header; Pillow's words say less
        return f"the picture is truncated or damaged: it begins as a {kind}, but has no whole header"
    return f"the picture is damaged: it begins as a {kind}, but {text}"
