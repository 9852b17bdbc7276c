"""One request and its answer, as handlers see them."""

from collections.abc import Callable
from typing import Protocol

from tcli_server.observability.access_entry import AccessEntry
from tcli_server.protocols.http.errors import error_body

JSON = b"Content-Type: application/json\r\n"

Body = bytes | memoryview
Parts = tuple[Body, ...] | list[Body]


class Answering(Protocol):
    """What an exchange needs of its connection."""

    def finish(self, exchange: "Exchange", status: int, length: int, headers: bytes, parts: Parts) -> None: ...

    def begin(self, exchange: "Exchange", status: int, headers: bytes) -> None: ...

    def write(self, exchange: "Exchange", piece: bytes) -> bool: ...

    def end(self, exchange: "Exchange") -> None: ...

    def drop_body(self, exchange: "Exchange") -> None: ...


class Exchange:
    """One request and the way to answer it, once, from the loop's thread.

    Attributes:
        path: the target as sent, without scheme and host.
        headers: by lower-case name; values of a repeated header are joined by commas.
        body: not to be changed; empty again once it is dropped: when the exchange is answered, or the connection is lost.
        body_begun_ns: when a large body began to come, time.monotonic_ns(); likewise body_ended_ns. 0 for one that came at once.
        charged: bytes of the body that count as held until it is dropped, whatever became of `body` meanwhile.
        keeps_body: set by a handler that needs the body even if the connection is lost, until it answers.
        access: its entry in the access log; None where there is none.
        on_gone: set by a handler that works on the exchange, and called in the loop at most once if the client is gone
            before the answer is sent: with True if the connection is lost, with False some 50 ms after the client ended
            its input, which may only mean that it has nothing more to ask. Who sets it anew then is told of the loss, too,
            soon after it: see `half_close`.
        on_room: set by a handler that sends a body in pieces, and called in the loop whenever the transport has taken all
            that `write` had to leave to it.
    """

    __slots__ = (
        "_connection", "access", "body", "body_begun_ns", "body_ended_ns", "charged", "headers", "http_1_0", "keep_alive",
        "keeps_body", "method", "on_gone", "on_room",
        "path",
    )  # fmt: skip

    def __init__(self, connection: Answering, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        self.headers = headers
        self.body: Body = b""
        self.body_begun_ns = self.body_ended_ns = 0
        self.charged = 0
        self.keeps_body = False
        self.keep_alive = True
        self.http_1_0 = False
        self.access: AccessEntry | None = None
        self.on_gone: Callable[[bool], None] | None = None
        self.on_room: Callable[[], None] | None = None

    def respond(self, status: int, body: bytes = b"", headers: bytes = JSON) -> None:
        """Send a response.

        Args:
            headers: complete header lines, each with its line end; Content-Length is added.
        """
        self.respond_parts(status, len(body), headers, (body,))

    def respond_parts(self, status: int, length: int, headers: bytes, parts: Parts) -> None:
        """Send a response whose body of `length` bytes is in parts."""
        self._connection.finish(self, status, length, headers, parts)

    def begin(self, status: int, headers: bytes) -> None:
        """Send the head of a response whose body is written in pieces of a length that nobody knows yet."""
        self._connection.begin(self, status, headers)

    def write(self, piece: bytes) -> bool:
        """Send a piece of the body, behind `begin`; False if it may have to wait for the client: see `on_room`."""
        return self._connection.write(self, piece)

    def end(self) -> None:
        """The body is complete."""
        self._connection.end(self)

    def answer_through(self, wrap: Callable[[Answering], Answering]) -> None:
        """Have the answer changed on its way to the connection."""
        self._connection = wrap(self._connection)

    def fail(self, status: int, message: str, headers: bytes = JSON) -> None:
        """Send an error."""
        self.respond(status, error_body(message), headers)


class Handler(Protocol):
    """Answers exchanges; must not block."""

    def __call__(self, exchange: Exchange) -> None: ...
