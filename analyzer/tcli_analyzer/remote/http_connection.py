"""One connection to an HTTP server, with one request at a time."""

import asyncio
import json
from typing import NamedTuple, Protocol

import httptools

from tcli_analyzer.remote.failures import of_status
from tcli_analyzer.target import OnReply
from tcli_client import Address
from tcli_server.errors import ServerError, UnavailableError, UnknownError

_KEPT_BYTES = 1 << 16
"""Of an answer that is not whole yet: its head, and the text of an error."""

_FINAL_STATUS = 200


class Job(NamedTuple):
    """A request that is to be answered."""

    request: bytes
    reply: OnReply


class Pool(Protocol):
    """What owns connections."""

    address: Address
    loop: asyncio.AbstractEventLoop
    arriving: memoryview

    def freed(self, connection: "HttpConnection") -> None:
        """It has answered and can be used again."""

    def gone(self, connection: "HttpConnection") -> None:
        """It is closed."""

    def again(self, job: Job) -> None:
        """The server closed a used connection just when this was sent."""


class HttpConnection(asyncio.BufferedProtocol):
    """Sends a request when it is given one; of the answer it reads the status and, if that is no success, the error.

    Attributes:
        since: when its request was sent, in the loop's time; infinity while it has none.
    """

    def __init__(self, pool: Pool) -> None:
        self.since = float("inf")
        self._pool = pool
        self._job: Job | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._used = False
        self._begun = False
        self._kept = b""
        self._status = 0
        self._answers = 0
        self._stays = True

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def send(self, job: Job) -> None:
        self._job = job
        self._begun = False
        self._answers = 0
        if self._kept:
            self._kept = b""
        self.since = self._pool.loop.time()
        self._transport.write(job.request)

    def end(self, error: ServerError) -> None:
        """Close it; the request that it has gets this error."""
        job = self._take()
        self._transport.abort()
        if job is not None:
            job.reply(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._pool.arriving

    def buffer_updated(self, nbytes: int) -> None:
        if self._job is None:
            self._transport.abort()  # nobody asked
            return
        self._begun = True
        data = self._pool.arriving[:nbytes]
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.end(self._not_http(data))
            return
        if self._answers == 1:
            self._answered(data)
        elif self._answers:
            self.end(self._not_http(data))
        elif len(self._kept) < _KEPT_BYTES:
            self._kept += data

    def connection_lost(self, exc: Exception | None) -> None:
        job = self._take()
        self._pool.gone(self)
        if job is None:
            return
        if self._used and not self._begun:
            self._pool.again(job)
        elif exc is None and self._begun and _Whole(self._kept).ends_with_connection:
            job.reply(self._verdict(self._kept))
        else:
            job.reply(self._lost(exc))

    # what the parser calls

    def on_message_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status >= _FINAL_STATUS:
            self._answers += 1
            self._stays = self._parser.should_keep_alive()

    def _take(self) -> Job | None:
        job, self._job = self._job, None
        self.since = float("inf")
        return job

    def _answered(self, data: memoryview) -> None:
        job = self._take()
        assert job is not None
        error = None if self._status == _FINAL_STATUS else self._verdict(self._kept + bytes(data))
        self._used = True
        if self._stays:
            self._pool.freed(self)
        else:
            self._transport.close()
        job.reply(error)

    def _verdict(self, raw: bytes) -> ServerError | None:
        answer = _Whole(raw)
        return None if answer.status == _FINAL_STATUS else of_status(answer.status, answer.error(self._pool.address))

    def _not_http(self, data: memoryview) -> ServerError:
        address = self._pool.address
        return UnknownError(f"{address} answers, but not in HTTP; its bytes were {bytes(data[:48])!r}")

    def _lost(self, exc: Exception | None) -> ServerError:
        address = self._pool.address
        if exc is not None:
            return UnavailableError(f"the connection to {address} was lost ({_reason(exc)})")
        where = "in the middle of an answer" if self._begun else "without an answer"
        return UnavailableError(f"{address} closed the connection {where}")


class _Whole:
    """An answer, or its beginning, read with its body."""

    def __init__(self, raw: bytes) -> None:
        self.status = 0
        self.ends_with_connection = False
        self._framed = False
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(raw)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.ends_with_connection = False

    def error(self, address: Address) -> str:
        """The server's words."""
        body = b"".join(self._body)
        try:
            return str(json.loads(body)["error"])
        except (ValueError, KeyError, TypeError):
            words = body.decode(errors="replace").strip()[:200]
            return f"{address} answered with status {self.status}" + (f": {words}" if words else "")

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002
        self._framed |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.ends_with_connection = not self._framed

    def on_body(self, body: bytes) -> None:
        self._body.append(body)


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
