"""Which format a picture has, and how large it is, by its first bytes: before any decoder sees it."""

import struct
from collections.abc import Callable

from tcli_server.backends.image.picture_error import PictureError
from tcli_server.file_kind import mistaken_content

JPEG, PNG, WEBP = "JPEG", "PNG", "WebP"

_HEAD_BYTES = 1024
_SEND = "send a JPEG, PNG or WebP"
_TEXT = frozenset(range(32, 127)) | frozenset(b"\t\r\n\f")


def picture_format(content: bytes) -> str:
    """`JPEG`, `PNG` or `WebP`.

    Raises:
        PictureError: it is something else; says what, where that is known.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return JPEG
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WEBP
    raise _other(content[:_HEAD_BYTES])


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height of a WebP. Its decoder takes memory for them as soon as it is made, so they are read here.

    Raises:
        PictureError: it does not begin as a WebP should.
    """
    if len(content) < 8 + int.from_bytes(content[4:8], "little"):
        raise PictureError("the picture is truncated: the WebP ends before the picture does")
    kind, body = content[12:16], content[20:30]
    if kind == b"VP8X" and len(body) == 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8 " and len(body) == 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise PictureError("the picture is truncated or damaged: it begins as a WebP, but has no size")


def _other(head: bytes) -> PictureError:
    for matches, name in _OTHERS:
        if matches(head):
            return PictureError(f"{name} pictures are not read", _SEND)
    if not any(head):
        return PictureError("not a picture: all of its first bytes are zero", _SEND)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for prefix, what in _TEXTS:
        if text.startswith(prefix):
            return PictureError(f"not a picture: it is {what}", "decode it first, and send the bytes")
    mistaken = mistaken_content(head)
    if mistaken is not None:
        return PictureError(f"not a picture: it is {mistaken}", _SEND)
    if _TEXT.issuperset(head):
        return PictureError("not a picture: it is a text", _SEND)
    return PictureError("not a picture: it is of no known format", _SEND)


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """An ISO media file of one of these major brands."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


_TEXTS = (
    (b"data:image/", "a data URI"),
    (b"/9j/", "a picture as Base64 text"),
    (b"iVBORw0KGgo", "a picture as Base64 text"),
    (b"UklGR", "a picture as Base64 text"),
)

_OTHERS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_starts(b"GIF87a", b"GIF89a"), "GIF"),
    (lambda head: head.startswith(b"BM") and head[14:18] in (b"\x0c\0\0\0", b"(\0\0\0", b"l\0\0\0", b"|\0\0\0"), "BMP"),
    (_starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    (_brand(b"avif", b"avis"), "AVIF"),
    (_brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    (_starts(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), "JPEG 2000"),
    (_starts(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL"),
    (lambda head: head.startswith((b"\0\0\1\0", b"\0\0\2\0")) and any(head[4:6]), "ICO"),
    (_starts(b"icns"), "ICNS"),
    (_starts(b"8BPS"), "PSD"),
    (_starts(b"DDS "), "DDS"),
    (_starts(b"qoif"), "QOI"),
    (_starts(b"\x01\xda"), "SGI"),
    (_starts(b"\x0a\x00\x01", b"\x0a\x02\x01", b"\x0a\x03\x01", b"\x0a\x04\x01", b"\x0a\x05\x01"), "PCX"),
    (lambda head: head[:1] == b"P" and head[1:2] in b"1234567fy" and head[2:3] in (b" ", b"\n", b"\r", b"\t"), "PPM"),
    (_starts(b"%!PS", b"\xc5\xd0\xd3\xc6"), "EPS"),
    (_starts(b"%PDF-"), "PDF"),
    (_starts(b"SIMPLE  ="), "FITS"),
    (_starts(b"\x76\x2f\x31\x01"), "OpenEXR"),
    (lambda head: b"<svg" in head.lower() and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"), "SVG"),
)
"""What else Pillow reads, and what else people send; in the order in which they are tried."""
