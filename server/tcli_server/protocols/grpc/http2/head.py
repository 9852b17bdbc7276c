"""What the headers of a call say."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tcli_server.protocols.grpc.errors import Status
from tcli_server.protocols.grpc.guard import GrpcGuard
from tcli_server.protocols.grpc.http2.messages import CODINGS
from tcli_server.protocols.grpc.options import MAX_METADATA_BYTES
from tcli_server.protocols.grpc.rpc import Metadata, Rpcs, Streaming, Unary
from tcli_server.protocols.request_headers import NOTHING_ASKED, Asked

Header = tuple[bytes, bytes]
Headers = Sequence[Header]

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_FIELD_OVERHEAD = 32
"""Bytes that a field counts for besides its name and value (RFC 9113, section 6.5.2)."""

_LONGEST_PATH = 1024
"""Bytes: none that can be called has as many, and the access log shows fewer."""

_KEPT = 64
_KEPT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Head:
    """One call's.

    Attributes:
        path: what is called.
        asked: what its headers ask for; they are not kept, as any number of calls may be open.
        unary, streaming: what answers it; both None where it is refused.
        timeout_secs: after which the client waits no longer.
        coding: of messages whose flag says that they are compressed.
        accepts: codings that the client takes.
        refusal: the status and its details, where it is not answered.
        http_status: where it is no gRPC at all, and is refused as HTTP is.
    """

    path: bytes
    unary: Unary | None = None
    streaming: Streaming | None = None
    asked: Asked = NOTHING_ASKED
    timeout_secs: float | None = None
    coding: str = ""
    accepts: frozenset[str] = frozenset()
    refusal: tuple[Status, str] | None = None
    http_status: int = 200


class HeadReader:
    """Reads heads; those of a client's calls are nearly always alike, so the last ones are remembered."""

    def __init__(self, rpcs: Rpcs, guard: GrpcGuard | None) -> None:
        self._guard = guard
        self._unary: Mapping[bytes, Unary] = {path.encode(): rpc for path, rpc in rpcs.unary.items()}
        self._streaming: Mapping[bytes, Streaming] = {path.encode(): rpc for path, rpc in rpcs.streaming.items()}
        self._read_metadata = rpcs.read_metadata
        self._kept: dict[Headers, Head] = {}

    def read(self, headers: tuple[Header, ...]) -> Head:
        """A call's head; says in itself why a call is refused."""
        if self._guard is not None:
            path = _path(headers)
            refusal = self._guard.refusal(path.decode("latin-1"), headers)
            if refusal is not None:
                return Head(path, refusal=refusal)  # each time: who was let in may not be any more
        known = self._kept.get(headers)
        if known is not None:
            return known
        head = self._read(headers)
        if _size(headers) <= _KEPT_BYTES:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[headers] = head
        return head

    def _read(self, headers: tuple[Header, ...]) -> Head:
        fields, path = dict(headers), _path(headers)
        if fields.get(b":method") != b"POST":
            return Head(path, http_status=405)
        kind = fields.get(b"content-type", b"")
        if kind != b"application/grpc" and not kind.startswith((b"application/grpc+", b"application/grpc;")):
            return Head(path, http_status=415)
        if _size(headers) > MAX_METADATA_BYTES:
            return _refused(
                path,
                Status.RESOURCE_EXHAUSTED,
                f"the headers have {_size(headers)} bytes, expected at most {MAX_METADATA_BYTES}",
            )
        timeout: float | None = None
        if b"grpc-timeout" in fields:
            match = _TIMEOUT.fullmatch(fields[b"grpc-timeout"])
            if match is None:
                said = "grpc-timeout: expected up to 8 digits and one of H M S m u n"
                return _refused(path, Status.INTERNAL, said)
            timeout = int(match[1]) * _UNITS[match[2]]
        coding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
        if coding != "identity" and coding not in CODINGS:
            return _refused(
                path,
                Status.UNIMPLEMENTED,
                f"grpc-encoding: expected identity, {' or '.join(CODINGS)}; found '{coding[:100]}'",
            )
        accepts = fields.get(b"grpc-accept-encoding", b"").decode("latin-1")
        unary, streaming = self._unary.get(path), self._streaming.get(path)
        if unary is None and streaming is None:
            return _refused(path, Status.UNIMPLEMENTED, "Method not found!")
        return Head(
            path,
            unary,
            streaming,
            self._read_metadata(_metadata(headers)),
            timeout,
            "" if coding == "identity" else coding,
            frozenset(name.strip() for name in accepts.split(",", len(CODINGS) + 8)),
        )


def _refused(path: bytes, status: Status, details: str) -> Head:
    return Head(path, refusal=(status, details))


def _metadata(headers: Headers) -> Metadata:
    return [(name.decode("latin-1"), _value(name, value)) for name, value in headers if name[:1] != b":"]


def _path(headers: Headers) -> bytes:
    """As much of it as anybody looks at: a call that is refused keeps it until its client ends it."""
    return next((value[:_LONGEST_PATH] for name, value in headers if name == b":path"), b"")


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in headers)


def _value(name: bytes, value: bytes) -> str | bytes:
    if not name.endswith(b"-bin"):
        return value.decode("latin-1")
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4))
    except binascii.Error:
        return value
