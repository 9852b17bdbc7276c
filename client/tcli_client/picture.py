"""Reads a picture file as people see it: upright, in RGB or grey, whatever the file format makes of that."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tcli_client.errors import ImageError
from tcli_client.picture_kind import AVIF, HEAD_BYTES, RAW, RAW_SUFFIXES, is_raw, unreadable_kind
from tcli_client.tiff_samples import tiff_samples

FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000"),
    *("PPM", "ICO", "ICNS", "TGA", "PCX", "SGI", "PSD", "QOI", "DDS"),
)
"""What is read, by Pillow's names. Not all that Pillow knows: EPS, for one, would run Ghostscript on the file."""

MAX_PIXELS = 2**29
"""Largest picture that is decoded: 23,170 x 23,170; decoded whole it takes 2 GiB."""

_LARGE_PIXELS = 2**26
"""Above this (8192 x 8192) a picture is made smaller while or right after it is decoded."""

_DETAIL = 8
"""How many times the wanted size a picture made smaller on the way still has, so that the final resize decides."""

_STRIP_PIXELS = 2**22

_TIFF_BYTES = 2**28
"""How much of a TIFF is looked through for its directory, which may be at its end."""

_one_large = threading.Lock()


def read_picture(path: str | os.PathLike[str], mode: str, size: tuple[int, int]) -> Image.Image:
    """Decode a picture file and make it ready for `resize`.

    EXIF rotation is applied. Transparent parts become white, as on the page that a person sees them on; what a file stores
    under its transparent pixels is arbitrary. Samples of 16 bits are brought to 8. Of an animation it is the first frame. A
    picture above 64 million pixels is made smaller on the way, to at least 8 times `size`, which keeps memory bounded; below
    that no pixel is touched before `resize`.

    Args:
        mode: "RGB" or "L".
        size: (width, height) that it will be resized to.

    Returns:
        An image of that mode, of its own size.

    Raises:
        ImageError: not there, empty, not a picture, truncated, damaged or above `MAX_PIXELS`.
    """
    file = Path(path)
    try:
        if file.is_file() and file.stat().st_size == 0:
            raise ImageError("the file is empty")
        # What a shell's <(command) gives can be read only once, from its beginning.
        source = BytesIO(file.read_bytes()) if file.is_fifo() else file
        if file.suffix.lower() in RAW_SUFFIXES and is_raw(_head(source), file.suffix.lower()):
            raise ImageError(RAW.message, RAW.fix)
        with _LIMIT.raised(), Image.open(source, formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            return _decoded(image, mode, size)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise _not_a_picture(source, file.suffix.lower()) from None
    except Image.DecompressionBombError:
        raise ImageError(f"the picture has more than {MAX_PIXELS:,} pixels", "make it smaller first") from None
    except MemoryError:
        raise ImageError("the picture does not fit into memory", "make it smaller first") from None
    except FileNotFoundError:
        raise ImageError("there is no such file") from None
    except Exception as problem:  # decoders meet damaged files with exceptions of every kind
        raise ImageError(_damage(problem)) from None


def picture_suffixes() -> frozenset[str]:
    """The endings of file names of `FORMATS`, ".jpg" among them, in lower case."""
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # a build of Pillow may lack some


class _PixelLimit:
    """Pillow's limit is one for the process, and lower than ours: raised while any thread reads a picture here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._before: int | None = None

    @contextmanager
    def raised(self) -> Iterator[None]:
        with self._lock:
            if not self._readers:
                self._before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    Image.MAX_IMAGE_PIXELS = self._before


_LIMIT = _PixelLimit()


def _decoded(image: Image.Image, mode: str, size: tuple[int, int]) -> Image.Image:
    if image.width * image.height <= _LARGE_PIXELS:
        image.load()
        return flattened(ImageOps.exif_transpose(image), mode)
    wanted = _DETAIL * max(size)  # of either side: the picture may still be turned
    image.draft(mode, (wanted, wanted))  # a JPEG is decoded at 1/2, 1/4 or 1/8
    with _one_large:
        image.load()
        factor = max(1, min(image.size) // wanted)
        small = _shrunk(image, factor, mode) if factor > 1 else flattened(image, mode)
    if exif := image.info.get("exif"):
        small.info["exif"] = exif
    return ImageOps.exif_transpose(small)


def _shrunk(image: Image.Image, factor: int, mode: str) -> Image.Image:
    """The mean of each `factor` x `factor` pixels, strip by strip: no second copy of a huge picture."""
    small = Image.new(mode, (-(-image.width // factor), -(-image.height // factor)))
    rows = factor * max(1, _STRIP_PIXELS // image.width // factor)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        small.paste(flattened(strip, mode).reduce(factor), (0, top // factor))
    return small


def flattened(image: Image.Image, mode: str) -> Image.Image:
    """The picture in RGB or grey with 8 bits a sample, on white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _grey8(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return image.convert(mode)


def _grey8(image: Image.Image) -> Image.Image:
    """A grey picture with more than 8 bits a sample: the full range of its type becomes 0..255."""
    values = np.asarray(image, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and high > 255):
        full = 65535.0
    elif image.mode == "F" and high <= 1:
        full = 1.0
    else:
        full = 255.0
    if low < 0 or high > full or not np.isfinite(high - low):
        raise ImageError(f"its samples go from {low:g} to {high:g}, which says nothing about black and white")
    return Image.fromarray((values * (255 / full)).round().astype(np.uint8))


def _not_a_picture(source: Path | BytesIO, suffix: str) -> ImageError:
    samples = tiff_samples(_head(source, _TIFF_BYTES))
    if samples is not None:
        return ImageError(f"a TIFF with {samples} samples cannot be read", "save it with 8 bits a sample, or as PNG")
    kind = unreadable_kind(_head(source), suffix)
    if kind is AVIF and "AVIF" in _formats():
        return ImageError("the picture is truncated or damaged: it begins as an AVIF, but is not a whole one")
    return ImageError(kind.message, kind.fix) if kind else ImageError("not a picture: it is of no known image format")


def _head(source: Path | BytesIO, count: int = HEAD_BYTES) -> bytes:
    """The first bytes; none of what cannot be read."""
    if isinstance(source, BytesIO):
        return source.getvalue()[:count]
    try:
        with source.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def _damage(problem: Exception) -> str:
    text = str(problem) or type(problem).__name__
    if isinstance(problem, IsADirectoryError):
        return "it is a folder"
    if isinstance(problem, PermissionError):
        return "no permission to read it"
    if isinstance(problem, OSError) and problem.errno:
        return f"it cannot be read: {problem.strerror}"
    if "truncated" in text.lower() or isinstance(problem, EOFError):
        return "the picture is truncated: the file ends before the picture does"
    return f"the picture is damaged: {text}"
