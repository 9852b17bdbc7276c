"""What a file is that is not read as a picture, and what to do about it."""

import re
from collections.abc import Callable
from typing import NamedTuple

HEAD_BYTES = 4096
"""How many bytes from the start of a file `unreadable_kind` wants."""

_EXPORT = "export it as JPEG or PNG"
_DOWNLOAD = "the download failed or was of the wrong address: fetch the file again"
_LFS = b"version https://git-lfs.github.com/spec/"


class Kind(NamedTuple):
    """Why a file is not read, such as "not a picture: it is an HTML page", and what to do.

    Attributes:
        what: the file is, "an HTML page"; empty where it is a picture.
    """

    message: str
    fix: str
    what: str = ""


def _unread(pictures: str, fix: str) -> Kind:
    """Pictures of a format that is not read."""
    return Kind(f"{pictures} cannot be read", fix)


def _other(name: str, fix: str = "") -> Kind:
    """What is no picture."""
    return Kind(f"not a picture: it is {name}", fix, name)


VIDEO = _other("a video", "take a single frame of it, as JPEG or PNG; or ask `tcli infer` for videos alone")
AVIF = _unread("AVIF pictures", f"{_EXPORT}, or install a Pillow of 11.3 or later")
RAW = _unread("raw files of cameras", "develop it, or export it as JPEG or PNG")

RAW_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "iiq", "kdc", "mef", "mos", "mrw"),
        *("nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
"""Endings of cameras' raw files. Many are TIFFs inside, whose first picture is a thumbnail."""

UNREADABLE_SUFFIXES = RAW_SUFFIXES | {
    ".heic",
    ".heif",
    ".hif",
    ".avif",
    ".avifs",
    ".jxl",
    ".svg",
    ".svgz",
    ".exr",
    ".hdr",
}
"""Endings of pictures that are not read, or not by every build of Pillow; a folder names them."""


def unreadable_kind(head: bytes, suffix: str) -> Kind | None:
    """What a file is that no picture decoder took, by its first bytes; None for what is unknown.

    Args:
        head: the first `HEAD_BYTES`, or all of a shorter file.
        suffix: of the file's name, in lower case, as ".jpg".
    """
    for matches, kind in _KINDS:
        if matches(head):
            return kind
    if is_raw(head, suffix):
        return RAW
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return _text(head, start, start[:256].lower())


def is_raw(head: bytes, suffix: str) -> bool:
    """Whether it is a raw file that a decoder takes for a TIFF, of which it would read the thumbnail."""
    tiff = head.startswith((b"II*\0", b"MM\0*"))
    return tiff and (suffix in RAW_SUFFIXES or head[8:10] == b"CR")


def _text(head: bytes, start: bytes, lower: bytes) -> Kind | None:
    if head.startswith(_LFS):
        return _other("a Git LFS pointer, not the file itself", "run 'git lfs pull' in its repository")
    if b"<svg" in head[:HEAD_BYTES].lower() and lower.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")):
        return _unread("SVG drawings", _EXPORT)
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")):
        title = re.search(rb"<title[^>]*>\s*([^<]{1,80})", head, re.IGNORECASE)
        named = f" titled '{title[1].decode('utf-8', 'replace').strip()}'" if title else ""
        return _other(f"an HTML page{named}", _DOWNLOAD)
    if lower.startswith((b"{", b"[")) and _is_text(start):
        return _other("a JSON text", _DOWNLOAD)
    if lower.startswith((b"<?xml", b"<error")):
        return _other("an XML text", _DOWNLOAD)
    if lower.startswith(b"data:image/"):
        return _other("a data URI as text", "decode what follows 'base64,' into a file")
    if start.startswith((b"/9j/", b"iVBORw0KGgo", b"R0lGOD", b"UklGR")) and _is_text(start):
        return _other("a picture as Base64 text", "decode it first: base64 --decode")
    for signature, name in _READ:
        if head.startswith(signature):
            return Kind(
                f"the picture is truncated or damaged: it begins as a {name}, but is not a whole one",
                "fetch or export it again",
            )
    if len(start) >= 4 and _is_text(head):
        return _other("a text file")
    return None


def _is_text(head: bytes) -> bool:
    if any(byte < 9 or 13 < byte < 27 for byte in head):
        return False
    try:
        head[:-4].decode()  # without the last character, which may be cut
    except UnicodeDecodeError:
        return False
    return True


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """An ISO media file (HEIC, AVIF, MP4, ...) of one of these major brands."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


def _is_avif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or b"avif" in head[16:64])


_READ = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
"""How formats that are read begin; a file that no decoder takes all the same is cut off or damaged."""

_KINDS: tuple[tuple[Callable[[bytes], bool], Kind], ...] = (
    (_is_avif, AVIF),
    (
        _brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"),
        _unread(
            "HEIC pictures", f"{_EXPORT}; an iPhone takes JPEGs with Settings > Camera > Formats > Most Compatible"
        ),
    ),
    (_brand(b"crx "), RAW),
    (_starts(b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM"), RAW),
    (lambda head: head[4:8] == b"ftyp", VIDEO),
    (_starts(b"\x1a\x45\xdf\xa3"), VIDEO),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", VIDEO),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", _other("a sound")),
    (_starts(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), _unread("JPEG XL pictures", _EXPORT)),
    (lambda head: b"%PDF-" in head[:1024], _other("a PDF document", "export the page as JPEG or PNG")),
    (_starts(b"%!PS", b"\xc5\xd0\xd3\xc6"), _other("a PostScript document", _EXPORT)),
    (_starts(b"\x76\x2f\x31\x01"), _unread("OpenEXR pictures", "export it with 8 bits a sample, as PNG")),
    (_starts(b"#?RADIANCE", b"#?RGBE"), _unread("Radiance HDR pictures", "export it with 8 bits a sample, as PNG")),
    (lambda head: head[128:132] == b"DICM", _unread("DICOM files", _EXPORT)),
    (_starts(b"SIMPLE  ="), _unread("FITS files", _EXPORT)),
    (_starts(b"\x93NUMPY"), _other("a numpy array", "save it with Pillow: Image.fromarray(array).save('x.png')")),
    (_starts(b"\x89HDF\r\n"), _other("an HDF5 file")),
    (_starts(b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf\x27\x1c"), _other("an archive", "unpack it first")),
    (_starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"), _other("a compressed file", "unpack it first")),
    (
        lambda head: len(head) > 15 and not any(head),
        _other("a file of zeros", "a copy or download broke off: fetch it again"),
    ),
    (_starts(b"\x7fELF", b"MZ"), _other("a program")),
)
"""Signatures in the order in which they are tried."""
