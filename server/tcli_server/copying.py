"""Copies of memory that may be large."""

from io import BytesIO

_PIECE = 1 << 16
"""Bytes copied by one call into C code, which holds the interpreter while it runs: other threads get their turn in between."""


def as_bytes(data: bytes | memoryview) -> bytes:
    """The same bytes as an object of their own, for what cannot work on a view: `data` itself if it is one.

    Not for an event loop: it takes a second for some gigabytes, although nobody else is kept waiting for so long.
    """
    if isinstance(data, bytes):
        return data
    if len(data) <= _PIECE:
        return bytes(data)
    copied = BytesIO()
    for start in range(0, len(data), _PIECE):
        copied.write(data[start : start + _PIECE])
    return copied.getvalue()  # not a copy
