"""One HTTP/1.1 connection: bytes to requests and responses back to bytes, in order.

A protocol over httptools' parser instead of an ASGI server: for a tiny model the ASGI layers cost more than the
inference does (see benchmarks/).
"""

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any, Protocol, cast

import httptools

from tcli_server.protocols.http.errors import error_body

MAX_CHUNKS = 65536
"""Chunks of a request body, as Triton limits them."""

_MAX_HEAD_BYTES = 1 << 16
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_JSON = b"Content-Type: application/json\r\n"
_CLOSE = b"Connection: close\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Body = bytes | memoryview


class Exchange:
    """One request and the way to answer it, once, from the loop's thread."""

    __slots__ = ("_connection", "body", "headers", "keep_alive", "method", "path")

    def __init__(self, connection: "Connection", method: bytes, path: bytes, headers: dict[bytes, bytes]) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        self.headers = headers
        self.body = b""
        self.keep_alive = True

    def respond(self, status: int, body: bytes = b"", headers: bytes = _JSON) -> None:
        """Send a response.

        Args:
            headers: complete header lines, each with its line end; Content-Length is added.
        """
        self.respond_parts(status, len(body), headers, (body,))

    def respond_parts(self, status: int, length: int, headers: bytes, parts: "tuple[Body, ...] | list[Body]") -> None:
        """Send a response whose body of `length` bytes is in parts."""
        self._connection.finish(self, status, length, headers, parts)

    def fail(self, status: int, message: str, headers: bytes = _JSON) -> None:
        """Send an error."""
        self.respond(status, error_body(message), headers)


class Handler(Protocol):
    """Answers exchanges; must not block."""

    def __call__(self, exchange: Exchange) -> None: ...


class Connection(asyncio.Protocol):
    """Parses requests and hands them to the handler one after the other."""

    def __init__(self, handler: Handler, connections: "set[Connection]") -> None:
        self._handler = handler
        self._connections = connections
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._catching_up = False
        self._path = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._reading_head = False
        self._body: list[bytes] = []
        self._chunks = 0
        self._closing = False

    # --- asyncio's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._connections.discard(self)

    def pause_writing(self) -> None:
        # A client that does not read its answers gets to ask nothing more until it does.
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "protocol upgrades are not supported")
        except httptools.HttpParserError as error:
            self._refuse(400, f"malformed HTTP request: {error}")
        if self._reading_head:  # the parser itself would collect a header without end
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(431, f"request line and headers are larger than {_MAX_HEAD_BYTES} bytes")

    # --- httptools' callbacks ---

    def on_message_begin(self) -> None:
        self._path, self._headers, self._body = b"", {}, []
        self._head_bytes = self._chunks = 0
        self._reading_head = True

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._reading_head = False
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if not self._closing:
            self._body.append(body)

    def on_chunk_header(self) -> None:
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            self._refuse(400, f"request has more than {MAX_CHUNKS} chunks")

    def on_message_complete(self) -> None:
        if self._closing:
            return
        exchange = Exchange(self, self._parser.get_method(), self._path, self._headers)
        exchange.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        exchange.keep_alive = self._parser.should_keep_alive()
        self._body = []
        if self._current is None:
            self._current = exchange
            self._handler(exchange)
        else:  # pipelined: answered in its turn
            self._waiting.append(exchange)

    # --- answering ---

    @property
    def idle(self) -> bool:
        """Nothing is asked that is not answered yet."""
        return self._current is None

    def finish(
        self, exchange: Exchange, status: int, length: int, headers: bytes, parts: tuple[Body, ...] | list[Body]
    ) -> None:
        """Send the current exchange's response and turn to the next request."""
        transport = self._transport
        if transport is None or exchange is not self._current:  # the client is gone
            return
        close = self._closing or not exchange.keep_alive
        head = b"%s%s%sContent-Length: %d\r\n\r\n" % (_STATUS_LINES[status], headers, _CLOSE if close else b"", length)
        if exchange.method == b"HEAD":  # answered by its headers alone
            parts = ()
        if length < 65536:
            transport.write(b"".join((head, *parts)))
        else:  # large bodies are not copied together
            transport.write(head)
            for part in parts:
                transport.write(part)
        self._current = None
        if close:
            self._waiting.clear()
            transport.close()
        elif not self._catching_up:
            self._catch_up()

    def _catch_up(self) -> None:
        """Turn to the requests that waited; a loop, as most are answered at once and thousands may wait."""
        self._catching_up = True
        try:
            while self._current is None and self._waiting:
                self._current = self._waiting.popleft()
                self._handler(self._current)
        finally:
            self._catching_up = False

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be parsed any further, and close."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        body = error_body(message)
        head = b"%s%s%sContent-Length: %d\r\n\r\n" % (_STATUS_LINES[status], _JSON, _CLOSE, len(body))
        self._transport.write(head + body)
        self._transport.close()

    def shut_down(self) -> None:
        """Close now if idle, else after the response that is being worked on."""
        self._closing = True
        if self.idle and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()
