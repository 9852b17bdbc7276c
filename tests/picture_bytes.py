"""Picture files as bytes for the tests: every kind that people have, and those that somebody makes to do harm."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """A picture in a format by Pillow's name."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def photo(width: int = 90, height: int = 60) -> Image.Image:
    """Soft colours with an edge, another one in each corner."""
    down, across = np.mgrid[0:height, 0:width]
    red, green = 255 * across / width, 255 * down / height
    blue = np.where(across + down > (width + height) / 2, 200, 30)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def turned(orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(photo(), "JPEG", exif=exif)


def _usual() -> dict[str, bytes]:
    colour, width, height = photo(), 90, 60
    alpha = Image.fromarray((np.mgrid[0:height, 0:width][1] * 255 // width).astype(np.uint8))
    clear = colour.copy()
    clear.putalpha(alpha)
    grey = colour.convert("L")
    grey_alpha = grey.copy()
    grey_alpha.putalpha(alpha)
    deep = Image.fromarray((np.asarray(grey).astype(np.uint16) * 251 + 77).astype(np.uint16))
    palette = colour.quantize(17)
    frames = [colour, colour.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return {
        "jpeg": encoded(colour, "JPEG"),
        "jpeg-progressive": encoded(colour, "JPEG", progressive=True),
        "jpeg-grey": encoded(grey, "JPEG"),
        "jpeg-cmyk": encoded(colour.convert("CMYK"), "JPEG"),
        "jpeg-mpo": encoded(colour, "MPO", save_all=True, append_images=frames[1:]),
        "png": encoded(colour, "PNG"),
        "png-alpha": encoded(clear, "PNG"),
        "png-grey-alpha": encoded(grey_alpha, "PNG"),
        "png-palette": encoded(palette, "PNG"),
        "png-palette-transparent": encoded(palette, "PNG", transparency=3),
        "png-colour-transparent": encoded(colour, "PNG", transparency=colour.getpixel((5, 5))),
        "png-bilevel": encoded(grey.convert("1"), "PNG"),
        "png-grey-16": encoded(deep, "PNG"),
        "png-animated": encoded(colour, "PNG", save_all=True, append_images=frames[1:]),
        "webp": encoded(colour, "WEBP"),
        "webp-lossless": encoded(colour, "WEBP", lossless=True),
        "webp-alpha": encoded(clear, "WEBP"),
        "webp-animated": encoded(colour, "WEBP", save_all=True, append_images=frames[1:]),
    } | {f"jpeg-turned-{orientation}": turned(orientation) for orientation in range(1, 9)}


USUAL = _usual()
"""Pictures that are read, by what is special about them."""


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG whose header says any size in RGB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose header says any size up to 65535."""
    content = encoded(photo(), "JPEG")
    frame = content.index(b"\xff\xc0")
    return content[: frame + 5] + struct.pack(">HH", height, width) + content[frame + 9 :]


def webp_of_size(width: int, height: int) -> bytes:
    """A small lossless WebP whose header says any size up to 16384."""
    content = bytearray(encoded(photo(), "WEBP", lossless=True))
    content[21:25] = (height - 1 << 14 | width - 1).to_bytes(4, "little")
    return bytes(content)


def repainted(side: int, times: int) -> bytes:
    """A progressive JPEG that is painted over and over, by a few bytes each time."""
    content = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * times + b"\xff\xd9"


def _hostile() -> dict[str, tuple[bytes, str]]:
    colour = photo()
    whole = {"JPEG": encoded(colour, "JPEG"), "PNG": encoded(colour, "PNG"), "WebP": encoded(colour, "WEBP")}
    found = {
        "empty": (b"", "empty: it has 0 bytes"),
        "text": (b"I am no picture", "not a picture: it is a text"),
        "html": (b"<html><title>Not Found</title>", "an HTML page titled 'Not Found'"),
        "zeros": (bytes(200), "all of its first bytes are zero"),
        "noise": (bytes(range(200, 250)), "of no known format"),
        "base64": (b"iVBORw0KGgoAAAANSUhEUg", "a picture as Base64 text"),
        "png of no size": (png(0, 5), "begins as a PNG"),
        "png of 3.6 gigapixels": (png(60_000, 60_000), "60000 x 60000 pixels"),
        "png of 2^62 pixels": (png(2**31 - 1, 2**31 - 1), "max_pixels allows 67,108,864"),
        "png bomb": (png(20_000, 5_000, bytes(500 * 60_001)), "20000 x 5000 pixels"),
        "png as long as a hair": (png(1, 3_000_000, bytes(4 * 3_000_000)), "too long for its width"),
        "jpeg of 4 gigapixels": (jpeg_of_size(65_500, 65_500), "65500 x 65500 pixels"),
        "webp of 268 megapixels": (webp_of_size(16_384, 16_384), "16384 x 16384 pixels"),
        "jpeg painted often": (repainted(4_000, 100), "passes, too many for its size"),
    }
    for form in ("GIF", "BMP", "TIFF", "JPEG2000", "PPM", "ICO", "PCX"):
        name = {"JPEG2000": "JPEG 2000"}.get(form, form)
        found[form] = (encoded(colour, form), f"{name} pictures are not read; fix: send a JPEG, PNG or WebP")
    for form, content in whole.items():
        found[f"half a {form}"] = (content[: len(content) // 2], f"the {form} ends before the picture does")
        found[f"20 bytes of a {form}"] = (content[:20], "truncated")
    return found


HOSTILE = _hostile()
"""What is refused, and words of the reason."""
