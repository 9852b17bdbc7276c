"""The headers of answers."""

from collections.abc import Sequence
from functools import cache
from urllib.parse import quote

from tcli_server.protocols.grpc.errors import RETRY_METADATA, Status
from tcli_server.protocols.grpc.http2.head import Header
from tcli_server.protocols.grpc.http2.messages import CODINGS

_CONTENT: list[Header] = [
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", f"identity, {', '.join(CODINGS)}".encode()),
]
CONTENT: Sequence[Header] = tuple(_CONTENT)
"""Ahead of messages."""

OK: Sequence[Header] = ((b"grpc-status", b"0"),)
"""Behind the last message."""

_RETRY = tuple((name.encode(), value.encode()) for name, value in RETRY_METADATA)
_AS_THEY_ARE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@cache
def coding_headers(coding: str) -> Sequence[Header]:
    """Ahead of messages in a coding."""
    return (*CONTENT, (b"grpc-encoding", coding.encode()))


def trailers(status: Status, details: str) -> Sequence[Header]:
    """Behind the last message, or instead of any."""
    told = (
        (b"grpc-status", b"%d" % status),
        (b"grpc-message", quote(details, safe=_AS_THEY_ARE).encode()),
    )
    return told + _RETRY if status is Status.UNAVAILABLE else told
