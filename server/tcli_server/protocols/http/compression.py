"""Content codings of requests and responses: gzip, deflate and identity."""

import gzip
import zlib

from tcli_server.errors import InvalidArgumentError, UnsupportedError

_ACCEPTED = "gzip, deflate"
_AUTO_DETECT = 32 + zlib.MAX_WBITS  # zlib's own or gzip's header, whichever the body begins with
_LEVEL = 6

ACCEPT_ENCODING = ("Accept-Encoding", _ACCEPTED)
"""The header that goes with the refusal of any other coding."""


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """Undo a request's Content-Encoding.

    Args:
        limit: bytes that the result may have (`--http-max-input-size`).

    Raises:
        UnsupportedError: a coding other than gzip, deflate or identity.
        InvalidArgumentError: the body is empty, damaged or too large.
    """
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "deflate"):
        raise UnsupportedError(f"unable to decompress: Content-Encoding '{coding}', expected one of {_ACCEPTED}")
    if not body:
        raise InvalidArgumentError(f"unable to decompress an empty {coding} body")
    decoder = zlib.decompressobj(_AUTO_DETECT)
    try:
        data = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidArgumentError(f"unable to decompress the {coding} body: {error}") from None
    if len(data) > limit:
        raise InvalidArgumentError(
            f"decompressed request body is larger than {limit} bytes. Use --http-max-input-size to allow more"
        )
    if not decoder.eof:
        raise InvalidArgumentError(f"unable to decompress the {coding} body: it ends too early")
    return data


def choose_coding(accept_encoding: str) -> str:
    """The response coding that a request prefers: the highest q value, the first named on a tie; empty for none."""
    best, best_quality = "", 0.0
    for item in accept_encoding.split(","):
        name, _, parameters = item.strip().partition(";")
        name = name.strip()
        if name not in ("gzip", "deflate", "identity"):
            continue
        quality = _quality(parameters)
        if quality > best_quality:
            best, best_quality = name, quality
    return "" if best == "identity" else best


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        key, _, value = parameter.strip().partition("=")
        if key.strip() == "q":
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
