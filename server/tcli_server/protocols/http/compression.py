"""Content codings of requests and responses: gzip, deflate and identity."""

import gzip
import zlib

from tcli_server.errors import InvalidArgumentError, UnsupportedError
from tcli_server.protocols.http.exchange import Body

_ACCEPTED = "gzip, deflate"
_AUTO_DETECT = 32 + zlib.MAX_WBITS  # zlib's own or gzip's header, whichever the body begins with
_LEVEL = 6
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 16
_MAX_MEMBERS = 1024  # each costs a copy of what follows it in its piece
_MAX_CODINGS = 16

ACCEPT_ENCODING = ("Accept-Encoding", _ACCEPTED)
"""The header that goes with the refusal of any other coding."""


def decompress(body: Body, coding: str, limit: int) -> Body:
    """Undo a request's Content-Encoding.

    Args:
        limit: bytes that the result may have (`--http-max-input-size`).

    Raises:
        UnsupportedError: a coding other than gzip, deflate or identity.
        InvalidArgumentError: the body is empty, damaged or too large.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedError(f"unable to decompress: Content-Encoding '{coding}', expected one of {_ACCEPTED}")
    if not body:
        raise InvalidArgumentError(f"unable to decompress an empty {coding} body")
    try:
        return _decompress(body, coding, limit)
    except zlib.error as error:
        raise InvalidArgumentError(f"unable to decompress the {coding} body: {error}") from None


def _decompress(body: Body, coding: str, limit: int) -> bytes:
    """Every member of the body: gzip allows several one behind the other, as parallel compressors write them."""
    view = memoryview(body)
    pieces: list[bytes] = []
    room, start, members = limit, 0, 0
    decoder = zlib.decompressobj(_AUTO_DETECT)
    while start < len(view):
        if decoder.eof:
            members += 1
            if view[start : start + len(_GZIP_MAGIC)] != _GZIP_MAGIC:
                raise InvalidArgumentError(
                    f"unable to decompress the {coding} body: {len(view) - start} bytes follow its end"
                )
            if members == _MAX_MEMBERS:
                raise InvalidArgumentError(f"unable to decompress the {coding} body: more than {members} gzip members")
            decoder = zlib.decompressobj(_AUTO_DETECT)
        piece = view[start : start + _PIECE]
        pieces.append(decoder.decompress(piece, room + 1))
        room -= len(pieces[-1])
        if room < 0:
            raise InvalidArgumentError(
                f"decompressed request body is larger than {limit} bytes. Use --http-max-input-size to allow more"
            )
        start += len(piece) - len(decoder.unused_data)
    if not decoder.eof:
        raise InvalidArgumentError(f"unable to decompress the {coding} body: it ends too early")
    return b"".join(pieces)


def choose_coding(accept_encoding: str) -> str:
    """The response coding that a request prefers: the highest q value, the first named on a tie; empty for none.

    Only the first sixteen codings are looked at.
    """
    best, best_quality = "", 0.0
    for item in accept_encoding.split(",", _MAX_CODINGS)[:_MAX_CODINGS]:
        name, _, parameters = item.partition(";")
        name = name.strip().lower()
        if name not in ("gzip", "deflate", "identity"):
            continue
        quality = _quality(parameters)
        if quality > best_quality:
            best, best_quality = name, quality
    return "" if best == "identity" else best


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";", _MAX_CODINGS):
        key, _, value = parameter.strip().partition("=")
        if key.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def compress(body: bytes, coding: str) -> bytes:
    """Apply a coding that `choose_coding` chose."""
    if coding == "gzip":
        return gzip.compress(body, _LEVEL, mtime=0)
    return zlib.compress(body, _LEVEL)
