"""From bytes to requests: httptools' parser, and everything that it leaves to its user.

As nginx does, and stricter where leniency lets two servers disagree about where a request ends (a bare LF ends no line).
"""

import re
import time
from io import BytesIO
from typing import Any, Protocol

import httptools

from tcli_server.observability.log import LOG
from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.http.exchange import Answering, Exchange
from tcli_server.protocols.http.guard import HttpGuard
from tcli_server.protocols.http.limits import MAX_CHUNKS, MAX_HEAD_BYTES, MAX_HEADERS, HttpLimits
from tcli_server.protocols.http.repeated_head import RepeatedHead, repeated_head
from tcli_server.protocols.place import aligned_place

SLICE = 1 << 13
"""Bytes to parse at once: thousands of tiny requests may lie in one read, and other connections wait meanwhile."""

BETWEEN, HEAD, BODY = range(3)
"""What the next byte belongs to."""

_WORTH_PLACING = 1 << 16
"""Bytes of a body that are still to come, from which on it pays to read them straight to their place."""

_PLACED_AT_ONCE = 1 << 20
"""Bytes read, or moved, straight to their place before other connections have their turn."""

_HOST = re.compile(rb"[^\x00-\x20\x7f/?#@\\,]*")
_FRAMING_PER_CHUNK = 32
_DIGITS = 10
_LARGE_HEAD = f"request line and headers are larger than {MAX_HEAD_BYTES} bytes"


class Receiver(Answering, Protocol):
    """Whom a reader tells what it read."""

    def received(self, exchange: Exchange) -> None:
        """A whole request."""

    def expects_continue(self) -> None:
        """The client waits for 100 Continue before it sends the body."""

    def refuse(self, status: int, message: str, headers: bytes) -> None:
        """What came cannot be read any further; nothing else will be received."""


class RequestReader:
    """Parses what one connection receives.

    Attributes:
        phase: BETWEEN requests, or in the HEAD or BODY of one.
        heads: requests begun so far.
        body_bytes: bytes of the unfinished body.
        denied: method and path of what the client may not ask, which was refused.
        stopped: nothing more is read: refused, or the client said that this was its last request.
        turned_away: status and message for every request whose headers end from now on.
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "_budget",
        "_chunked",
        "_chunks",
        "_exchange",
        "_framing",
        "_guard",
        "_head_fed",
        "_headers",
        "_host",
        "_last",
        "_length",
        "_limits",
        "_parser",
        "_path",
        "_pieces",
        "_place",
        "_receiver",
        "_repeated",
        "_repeats",
        "_replay",
        "_unparsed",
        "body_bytes",
        "denied",
        "heads",
        "phase",
        "stopped",
        "turned_away",
    )  # fmt: skip

    def __init__(
        self, receiver: Receiver, limits: HttpLimits, budget: ByteBudget, guard: HttpGuard | None = None
    ) -> None:
        self._receiver: Receiver | None = receiver
        self._guard = guard
        self.denied: tuple[bytes, bytes] | None = None
        self._limits = limits
        self._budget = budget
        self._parser: Any = self._new_parser()
        self._replay = False  # the parser reads a head again, see `_ignore_upgrade`
        self._exchange: Exchange | None = None
        self._last: Exchange | None = None  # received in this slice
        self._repeated: RepeatedHead | None = None
        self._unparsed = False  # the head came again, and the parser has not seen it
        self._path = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeats = 0
        self._host = b""
        self._head_fed = 0
        self._body = b""
        self._pieces: BytesIO | None = None
        self._place: memoryview | None = None
        self._length = 0
        self._chunked = False
        self._chunks = 0
        self._framing = 0
        self.body_bytes = 0
        self.phase = BETWEEN
        self.heads = 0
        self.stopped = False
        self.turned_away: tuple[int, str] | None = None

    # --- for the connection ---

    @property
    def step(self) -> int:
        """How many of the bytes at hand to feed at once."""
        return max(SLICE, self._length - self.body_bytes) if self.phase is BODY else SLICE

    def feed(self, data: bytes | memoryview) -> None:
        """Parse no more than `step` bytes."""
        if self.stopped:
            return
        heads, before, body_bytes = self.heads, self.phase, self.body_bytes
        repeated = self._repeated
        if repeated is not None and (before is BETWEEN or self._unparsed) and self._feed_repeated(repeated, data):
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            self.feed(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError:
            LOG.exception("cannot read an HTTP request")
            self._refuse(500, "the server failed to read this request")
        except httptools.HttpParserError as error:
            self._refuse(505 if "HTTP version" in str(error) else 400, f"malformed HTTP request: {error}")
        last, self._last = self._last or self._exchange, None
        if before is BETWEEN and last is not None and self.heads == heads + 1 and type(data) is bytes:
            self._repeated = repeated_head(data, last, self._length)
        if self.phase is BETWEEN:
            return
        if self.phase is HEAD:  # the parser itself would collect a header without end
            if self.heads - heads == (before is BETWEEN):  # else other requests are in this slice too
                self._head_fed += len(data)
            if self._head_fed > MAX_HEAD_BYTES:
                self._refuse(431, _LARGE_HEAD)
        elif self._chunked and before is BODY and self.heads == heads:
            self._framing += len(data) - (self.body_bytes - body_bytes)
            if self._framing > MAX_HEAD_BYTES + self._chunks * _FRAMING_PER_CHUNK:
                self._refuse(431, f"chunk extensions and trailers are larger than {MAX_HEAD_BYTES} bytes")

    def again(self, data: bytes) -> Exchange | None:
        """The request, if these bytes are one whose head has come before, and nothing else; None leaves all to `feed`."""
        repeated, receiver = self._repeated, self._receiver
        if repeated is None or self.phase is not BETWEEN or not data.startswith(repeated.head):
            return None
        if len(data) != repeated.size or self.stopped or self.turned_away is not None or receiver is None:
            return None
        if self._guard is not None and self._guard.refusal(repeated.path, repeated.headers) is not None:
            return None  # who was let in may not be any more
        if not self._budget.reserve(repeated.length):
            return None
        self.heads += 1
        exchange = Exchange(receiver, repeated.method, repeated.path, repeated.headers)
        exchange.body, exchange.charged = data[len(repeated.head) :], repeated.length
        return exchange

    def place(self) -> memoryview | None:
        """Where to write what comes next of a large body, instead of feeding it; None where it must be fed.

        What the parser takes is copied three times until it is the body of a request.
        """
        if self._place is None and not self._find_place():
            return None
        return self._place[self.body_bytes : self.body_bytes + _PLACED_AT_ONCE]  # type: ignore[index]

    def placed(self, count: int) -> None:
        """So many bytes have come to where `place` said."""
        if self._place is not None and self._takes(count) and self.body_bytes == self._length:
            self._parser = self._new_parser()  # the old one waits for the body
            self.on_message_complete()
            self._last, self._unparsed = None, False

    def give_up(self, status: int, message: str) -> None:
        """Refuse the request that is coming in."""
        self._refuse(status, message)

    def close(self) -> None:
        """Let go of everything; parser and reader refer to each other, which would keep the body in memory."""
        self._stop()
        self._parser = self._receiver = None

    # --- httptools' callbacks ---

    def on_message_begin(self) -> None:
        if self.phase is BODY or self.stopped:  # the second reading of a head
            return
        self._path, self._headers = b"", {}
        self._replay = False
        self._head_fed = self._repeats = 0
        self.heads += 1
        self.phase = HEAD

    def on_url(self, url: bytes) -> None:
        if self.phase is HEAD:
            self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        if name in headers:
            self._repeat(name, value)
        else:
            headers[name] = value.rstrip()

    def on_headers_complete(self) -> None:
        if self.phase is not HEAD:
            return
        self.phase = BODY
        self._chunked = False
        self._length = self._chunks = self._framing = 0
        headers, parser, receiver = self._headers, self._parser, self._receiver
        method, keep_alive = parser.get_method(), parser.should_keep_alive()
        # Only HTTP/1.1 keeps alive unasked; asking the parser takes longer than to tell from that.
        version = "1.1" if keep_alive and b"connection" not in headers else parser.get_http_version()
        problem = self._head_problem(method, version)
        if problem is not None:
            self._refuse(*problem)
        elif receiver is not None:
            path = self._path if self._path[:1] == b"/" else _origin_form(self._path)
            if self._guard is not None and self._is_denied(method, path, headers):
                return
            self._exchange = exchange = Exchange(receiver, method, path, headers)
            self._headers = {}  # for trailers, which mean nothing here
            if not keep_alive:
                exchange.keep_alive = False
            if version == "1.0":
                exchange.http_1_0 = True
            if b"expect" in headers and self._waits_for_continue(exchange):
                receiver.expects_continue()

    def on_body(self, body: bytes) -> None:
        if self.stopped:
            return
        if self._chunks > MAX_CHUNKS:
            self._refuse(400, f"request has more than {MAX_CHUNKS} chunks")
            return
        first = not self.body_bytes
        if not self._takes(len(body)):
            return
        if first:
            self._body = body
            return
        if self._pieces is None:
            self._pieces = BytesIO()
            self._pieces.write(self._body)
        self._pieces.write(body)

    def _takes(self, count: int) -> bool:
        """Count bytes of the body; False if they are too many, and the request is refused then."""
        total = self.body_bytes + count
        if total > self._limits.max_body_size:
            self._refuse(413, self._too_large())
        elif not self._budget.reserve(count):
            self._refuse(503, "the requests that the server is receiving take all the memory that they may; try again")
        else:
            self.body_bytes = total
            return True
        return False

    def _find_place(self) -> bool:
        """Make room for a body of known length, if that is worth it and within what is not promised to others."""
        have, exchange = self.body_bytes, self._exchange
        if self._length - have < _WORTH_PLACING or exchange is None or b"upgrade" in exchange.headers:
            return False
        if have > _PLACED_AT_ONCE:  # there was no room until now
            return False
        if not self._budget.promise(self._length):
            return False
        try:
            place = aligned_place(self._length, _tensors_begin(exchange.headers))
        except MemoryError:
            self._budget.promised -= self._length
            return False
        place[:have] = self._body if self._pieces is None else self._pieces.getbuffer()
        self._place, self._pieces, self._body = place, None, b""
        exchange.body_begun_ns = time.monotonic_ns()
        return True

    def on_chunk_header(self) -> None:
        self._chunks += 1  # the empty last one counts too, so the limit is looked at where a chunk's bytes come

    def on_message_complete(self) -> None:
        exchange, receiver = self._exchange, self._receiver
        if exchange is None or receiver is None:
            return
        if b"upgrade" in exchange.headers and self._upgrading():
            return
        if self._place is not None:
            exchange.body = self._place.toreadonly()
            exchange.body_ended_ns = time.monotonic_ns()
            self._leave_place()
        elif self._pieces is None:
            exchange.body = self._body
        else:
            exchange.body = self._pieces.getvalue()  # not a copy
            self._pieces = None
        exchange.charged = self.body_bytes
        self._exchange, self._last = None, exchange
        self._body = b""
        self.body_bytes = 0
        self.phase = BETWEEN
        if not exchange.keep_alive:
            self.stopped = True
        receiver.received(exchange)

    # --- without the parser ---

    def _feed_repeated(self, repeated: RepeatedHead, data: bytes | memoryview) -> bool:
        """Take a head that has come before, or the body behind it; False if it is for the parser to read."""
        if self._unparsed:
            self._unparsed = False
            exchange = self._exchange
            if len(data) == repeated.length and exchange is not None:
                self._take_whole(exchange, bytes(data))
                return True
            self.phase, self._exchange, self._repeated = BETWEEN, None, None  # in pieces: as if nothing had come
            self.heads -= 1
            self.feed(repeated.head)
            return self.stopped
        if type(data) is not bytes:
            return False
        receiver = self._receiver
        exchange = self.again(data)
        if exchange is not None and receiver is not None:
            receiver.received(exchange)
            return True
        if data != repeated.head or self.turned_away is not None or receiver is None:
            return False
        if self._guard is not None and self._guard.refusal(repeated.path, repeated.headers) is not None:
            return False
        self.heads += 1
        self.phase, self._unparsed = BODY, True
        self._exchange = Exchange(receiver, repeated.method, repeated.path, repeated.headers)
        self._length, self._chunked = repeated.length, False
        return True

    def _take_whole(self, exchange: Exchange, body: bytes) -> None:
        if not self._takes(len(body)):
            return
        exchange.body, exchange.charged = body, len(body)
        self.phase, self._exchange = BETWEEN, None
        self.body_bytes = 0
        if self._receiver is not None:
            self._receiver.received(exchange)

    # --- what a head may be ---

    def _head_problem(self, method: bytes, version: str) -> tuple[int, str] | None:
        """Status and message if the request must not be read any further."""
        headers = self._headers
        if version != "1.1" and version != "1.0":
            return 505 if version >= "2" else 400, f"HTTP/{version} is not supported; expected HTTP/1.1 or HTTP/1.0"
        if len(headers) + self._repeats > MAX_HEADERS:
            return 431, f"request has more than {MAX_HEADERS} headers"
        if self._head_fed and self._head_size() > MAX_HEAD_BYTES:
            return 431, _LARGE_HEAD
        host = headers.get(b"host")
        if host is None and version == "1.1":
            return 400, "HTTP/1.1 request without a Host header"
        if host != self._host and host is not None:
            if not _HOST.fullmatch(host):
                return 400, f"Host header '{host.decode('latin-1')}' is no host; expected one name or address"
            self._host = host  # a kept-alive connection sends the same again and again
        length = headers.get(b"content-length")
        if length is not None:
            # Digits only, and no overflow: the parser saw to that.
            self._length = int(length if len(length) < 20 else length.lstrip(b"0") or b"0")
            if self._length > self._limits.max_body_size:
                return 413, self._too_large()
        elif b"transfer-encoding" in headers:
            coding = headers[b"transfer-encoding"]
            if version == "1.0":
                return 400, "HTTP/1.0 has no Transfer-Encoding"
            if coding.lower() != b"chunked":
                return 501, f"Transfer-Encoding '{coding.decode('latin-1')}' is not supported; expected chunked"
            self._chunked = True
        if method == b"CONNECT":
            return 405, "Method Not Allowed"
        return self.turned_away

    def _is_denied(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> bool:
        """Refuse whoever may not ask this, before anything of the body is read."""
        assert self._guard is not None
        refusal = self._guard.refusal(path, headers)
        if refusal is not None:
            self.denied = (method, path)
            self._refuse(*refusal)
        return refusal is not None

    def _waits_for_continue(self, exchange: Exchange) -> bool:
        has_body = self._chunked or self._length > 0
        return has_body and not exchange.http_1_0 and exchange.headers[b"expect"].lower() == b"100-continue"

    def _head_size(self) -> int:
        return len(self._path) + sum(len(name) + len(value) + 4 for name, value in self._headers.items())

    def _repeat(self, name: bytes, value: bytes) -> None:
        self._repeats += 1
        if self._repeats <= MAX_HEADERS:  # beyond, the request is refused anyway
            self._headers[name] += b", " + value.rstrip()

    def _too_large(self) -> str:
        return f"request body is larger than {self._limits.max_body_size} bytes. Use --http-max-body-size to allow more"

    # --- endings ---

    def _upgrading(self) -> bool:
        """Whether the parser ends the message here only because the client offers another protocol."""
        return not self._replay and bool(self._parser.should_upgrade())

    def _ignore_upgrade(self) -> None:
        """Read on in HTTP/1.1, as a server does that does not know the protocol offered.

        httptools takes whatever follows the head for that protocol, the body too. So another parser gets a head that
        offers nothing and says only how the body is framed.
        """
        if self.stopped:
            return
        self._parser = self._new_parser()
        self._replay = True
        framing = b"Transfer-Encoding: chunked" if self._chunked else b"Content-Length: %d" % self._length
        self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # What follows a request with "Connection: close" is ignored by `stopped`; the parser would heed that header in
        # trailers too, and then refuse the next request.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        return parser

    def _refuse(self, status: int, message: str, headers: bytes = b"") -> None:
        receiver = self._receiver
        if not self.stopped and receiver is not None:
            self._stop()
            receiver.refuse(status, message, headers)

    def _stop(self) -> None:
        """Read nothing more, and drop what is half read."""
        self.stopped = True
        self.phase = BETWEEN
        self._budget.release(self.body_bytes)
        self.body_bytes = 0
        self._body = b""
        self._pieces = None
        self._leave_place()
        self._headers = {}
        self._exchange = self._last = None
        self._unparsed = False

    def _leave_place(self) -> None:
        if self._place is not None:
            self._place = None
            self._budget.promised -= self._length


def _tensors_begin(headers: dict[bytes, bytes]) -> int:
    """Where in a body the bytes of tensors begin, as far as its headers tell; what is wrong with them is said elsewhere."""
    length = headers.get(b"inference-header-content-length", b"")
    return int(length) if length.isdigit() and len(length) < _DIGITS else 0


def _origin_form(target: bytes) -> bytes:
    """The path and query of an absolute target (`http://host/v2`), which clients send to a proxy."""
    _, scheme, rest = target.partition(b"://")
    if not scheme:
        return target
    start = re.search(rb"[/?#]", rest)
    if start is None:
        return b"/"
    path = rest[start.start() :]
    return path if path.startswith(b"/") else b"/" + path
