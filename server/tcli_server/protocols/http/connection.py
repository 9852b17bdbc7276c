"""One HTTP/1.1 connection: requests handed on and answered in order, and when to read, to wait and to close.

A protocol over httptools' parser instead of an ASGI server: for a tiny model the ASGI layers cost more than the
inference does (see benchmarks/).
"""

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import cast

from tcli_server.observability.access_entry import GONE, AccessEntry
from tcli_server.observability.log import LOG
from tcli_server.protocols.client_address import client_address
from tcli_server.protocols.http.errors import error_body
from tcli_server.protocols.http.exchange import JSON, Exchange, Parts
from tcli_server.protocols.http.guard import Refusal
from tcli_server.protocols.http.half_close import CONTINUE, WAIT_SECS, next_look, was_reset
from tcli_server.protocols.http.limits import MAX_READ_AHEAD, MAX_WAITING
from tcli_server.protocols.http.reader import BETWEEN, BODY, HEAD, SLICE, RequestReader
from tcli_server.protocols.http.shared import Shared

LINGER_SECS = 5.0
"""How long a client that was refused may go on sending before it is cut off, so that it can read why."""

_SURPLUS = 64
_REQUESTS_PER_TURN = 16
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_STATUS_LINES[503] += b"Retry-After: 1\r\n"
_CLOSE = b"Connection: close\r\n"
_KEEP_ALIVE = b"Connection: keep-alive\r\n"


class Connection(asyncio.BufferedProtocol):
    """Reads requests and hands them to the handler one after the other."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._reader = RequestReader(self, shared.limits, shared.budget, shared.guard)
        self._reader.turned_away = shared.turned_away
        self._transport: asyncio.Transport | None = None
        self._arrivals = shared.arrivals
        self._place: memoryview | None = None
        self._current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._unread: bytes | memoryview = b""
        self._refusal: Refusal | None = None
        self._continue_due = False
        self._pumping = self._pump_scheduled = False
        self._reading_paused = self._writing_paused = False
        self._input_ended = False
        self._begun = False  # the head of the current response is sent
        self._last_answers = shared.leaving  # nothing is accepted any more, what is due is answered
        self._something_else = False  # there is more to turn to than requests: see `_when_answered`
        self._closing = False
        self._since = time.monotonic()  # when began what `check` waits for
        self._unsent = 0
        self._address = ""  # of the client, for the access log

    # --- asyncio's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if self._shared.access is not None:  # now: a connection that was reset has none any more
            self._address = client_address(transport)
        connections, allowed = self._shared.connections, self._shared.max_connections
        if len(connections) >= allowed:
            self._reader.turned_away = (
                503,
                f"more than {allowed} connections; close some, or use --http-max-connections",
            )
            if len(connections) >= allowed + _SURPLUS:  # not even time to tell them
                self._transport.abort()
        connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._closing = True
        self._shared.connections.discard(self)
        self._reader.close()
        self._unread = b""
        for waiting in self._waiting:
            self.drop_body(waiting)
        self._waiting.clear()
        exchange, self._current = self._current, None
        if exchange is not None:
            if exchange.access is not None:
                exchange.access.end(GONE, failed=True)
            exchange.on_room = None
            _tell_gone(exchange, True)
            if not exchange.keeps_body:
                self.drop_body(exchange)

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._since = time.monotonic()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._since = time.monotonic()
        if self._current is not None and self._current.on_room is not None:
            self._current.on_room()
        self._pump()

    def eof_received(self) -> bool:
        """Answer what was asked: the client may only have nothing more to ask. True keeps the connection open for that.

        Over TLS whoever ends one side ends both.
        """
        if self._transport is not None and not self._transport.can_write_eof():
            return False
        self._input_ended = self._last_answers = self._something_else = True
        if self._closing and self._transport is not None:  # the client has read why it was refused
            self._transport.close()
        elif not self.due:
            self._close()
        elif self._current is not None:
            self._watch_half_closed(self._current)
        return True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        self._place = None
        if self._reader.phase is not BODY or self._unread:
            return self._arrivals
        self._place = self._reader.place()
        if self._place is not None and self._current is not None:  # as `_has_room` allows
            self._place = self._place[:MAX_READ_AHEAD]
        return self._shared.arrivals if self._place is None else self._place

    def buffer_updated(self, count: int) -> None:
        if self._closing or self._refusal is not None:
            return
        if self._place is not None:
            self._place = None
            self._arrivals = self._shared.arrivals[:SLICE]  # for heads, as there may be more of this kind
            self._reader.placed(count)
            self._since = time.monotonic()
        else:
            data = bytes(self._shared.arrivals[:count])
            if count <= SLICE and not self._waiting and self._rests():
                again = self._reader.again(data)
                if again is not None:
                    self._start(again)
                    return
            self._take(data)
        waiting = self._waiting
        if len(waiting) == 1 and self._reader.phase is BETWEEN and self._rests():
            self._start(waiting.popleft())  # as nearly always, and then there is nothing else to turn to
        else:
            self._pump()

    def _rests(self) -> bool:
        """Nothing is being answered, kept back, or to be turned to before the next request."""
        if self._current is not None or self._something_else or self._unread:
            return False
        return not (self._writing_paused or self._reading_paused)

    # --- what the reader tells ---

    def received(self, exchange: Exchange) -> None:
        """A whole request; it waits for its turn."""
        self._continue_due = False
        self._waiting.append(exchange)

    def expects_continue(self) -> None:
        """The client sends its body once it is asked to, which has to wait for the answers before."""
        self._continue_due = self._something_else = True

    def refuse(self, status: int, message: str, headers: bytes) -> None:
        """Close with this answer after those that are due."""
        self._refusal = (status, message, headers)
        self._something_else = True
        self._unread = b""

    # --- one after the other ---

    @property
    def due(self) -> bool:
        """Something is asked, or still to be parsed, that is not answered yet."""
        return bool(self._current is not None or self._waiting or self._unread or self._refusal is not None)

    def _take(self, data: bytes) -> None:
        """Parse what came, or keep it for when there is room."""
        if (
            len(data) <= SLICE
            and not self._unread
            and ((self._current is None and not self._waiting) or self._has_room())
        ):
            self._feed(data)
        else:
            self._unread = memoryview(bytes(self._unread) + data if self._unread else data)

    def _feed(self, data: bytes | memoryview) -> None:
        reader = self._reader
        heads = reader.heads
        reader.feed(data)
        if reader.phase is not BETWEEN and (reader.heads != heads or reader.phase is BODY):  # no trickle of a head
            self._since = time.monotonic()

    def _has_room(self) -> bool:
        """Whether to parse more, behind what is being answered."""
        if self._current is None and not self._waiting:
            return True
        if len(self._waiting) >= MAX_WAITING:
            return False
        return self._bytes_waiting() + self._reader.body_bytes < MAX_READ_AHEAD

    def _bytes_waiting(self) -> int:
        return sum(exchange.charged for exchange in self._waiting)

    def _pump(self) -> None:
        """Turn to the next request as often as that is possible: most are answered at once, and thousands may wait."""
        if self._pumping:
            return
        self._pumping = True
        turns = _REQUESTS_PER_TURN
        waiting = self._waiting
        try:
            while not self._closing:
                if waiting and self._current is None and not self._writing_paused:
                    if not turns:  # others have their turn now
                        self._pump_later()
                        break
                    turns -= 1
                    self._start(waiting.popleft())
                elif self._unread and self._has_room():
                    step = self._reader.step
                    data, self._unread = self._unread[:step], self._unread[step:]
                    self._feed(data)
                else:
                    break
        finally:
            self._pumping = False
        if self._something_else and self._current is None and not waiting:
            self._when_answered()
        if waiting or self._unread or self._writing_paused or self._reading_paused or self._reader.body_bytes:
            self._pause_or_resume_reading()

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        access = self._shared.access
        if access is not None:
            size = len(exchange.body)
            exchange.access = access.begin("HTTP", self._address, exchange.method, exchange.path, size)
        try:
            self._shared.handler(exchange)
        except Exception as error:  # a defect must answer this request and leave the connection usable
            LOG.exception("cannot answer %r", exchange.path[:200])
            exchange.fail(500, f"{type(error).__name__}: {error}")
        if self._input_ended and self._current is exchange:
            self._watch_half_closed(exchange)

    def _pump_later(self) -> None:
        if not self._pump_scheduled:
            self._pump_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self._pump_scheduled = False
        self._pump()

    def _when_answered(self) -> None:
        if self._closing:
            return
        if self._refusal is not None:
            self._send_refusal(*self._refusal)
        elif self._last_answers and not self._unread:
            self._close()
        elif self._continue_due:
            self._continue_due = self._something_else = False
            if self._transport is not None and self._reader.phase is BODY and not self._reader.body_bytes:
                self._transport.write(CONTINUE)

    def _pause_or_resume_reading(self) -> None:
        """A client that does not read its answers, or is far ahead of them, gets to send nothing more until it does."""
        pause = self._writing_paused or (bool(self._unread) and self._refusal is None) or not self._has_room()
        if (
            pause is not self._reading_paused
            and self._transport is not None
            and not (self._closing or self._input_ended)
        ):
            self._reading_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._since = time.monotonic()
                self._transport.resume_reading()

    # --- answering ---

    def finish(self, exchange: Exchange, status: int, length: int, headers: bytes, parts: Parts) -> None:
        """Send the current exchange's response and turn to the next request."""
        transport = self._transport
        if transport is None or exchange is not self._current:  # the client is gone
            self.drop_body(exchange)
            return
        last = not exchange.keep_alive or (self._last_answers and not self._more_due())
        connection = _CLOSE if last else _KEEP_ALIVE if exchange.http_1_0 else b""
        head = b"%s%s%sContent-Length: %d\r\n\r\n" % (_STATUS_LINES[status], headers, connection, length)
        if exchange.method == b"HEAD":  # answered by its headers alone
            parts = ()
        if exchange.access is not None:
            _note_status(exchange.access, status)
            exchange.access.bytes_out = length if parts else 0
        if length < 65536:
            transport.write(b"".join((head, *parts)))
        else:  # large bodies are not copied together
            transport.write(head)
            for part in parts:
                transport.write(part)
        self._answered(exchange, last)

    def _answered(self, exchange: Exchange, last: bool) -> None:
        self._current = exchange.on_gone = None
        if exchange.access is not None:
            exchange.access.end()
        if exchange.charged:
            self.drop_body(exchange)
        self._since = time.monotonic()
        if last:
            self._close()
        elif not self._pumping and (self._waiting or self._unread or self._something_else or self._reading_paused):
            self._pump()

    def begin(self, exchange: Exchange, status: int, headers: bytes) -> None:
        """Send the head of the current exchange's response; its body comes by `write`."""
        transport = self._transport
        if transport is None or exchange is not self._current:
            return
        self._begun = True
        if exchange.access is not None:
            _note_status(exchange.access, status)
        self.drop_body(exchange)
        if exchange.http_1_0:  # its end is that of the connection
            exchange.keep_alive = False
        framing = b"" if exchange.http_1_0 else b"Transfer-Encoding: chunked\r\n"
        connection = b"" if exchange.keep_alive else _CLOSE
        transport.write(b"%s%s%s%s\r\n" % (_STATUS_LINES[status], headers, framing, connection))

    def write(self, exchange: Exchange, piece: bytes) -> bool:
        """Send a piece of the current exchange's body; False if the transport has to keep it for now."""
        transport = self._transport
        if transport is None or exchange is not self._current:
            return True
        if piece and exchange.method != b"HEAD":
            if exchange.access is not None:
                exchange.access.bytes_out += len(piece)
            transport.write(piece if exchange.http_1_0 else b"%x\r\n%b\r\n" % (len(piece), piece))
        return not self._writing_paused

    def end(self, exchange: Exchange) -> None:
        """The current exchange's response is complete: turn to the next request."""
        transport = self._transport
        if transport is None or exchange is not self._current:
            return
        if not exchange.http_1_0 and exchange.method != b"HEAD":
            transport.write(b"0\r\n\r\n")
        exchange.on_room = None
        self._begun = False
        self._answered(exchange, not exchange.keep_alive or (self._last_answers and not self._more_due()))

    def _more_due(self) -> bool:
        return bool(self._waiting or self._unread or self._refusal)

    def drop_body(self, exchange: Exchange) -> None:
        """Let go of a body, and of its share of the budget; a second call changes nothing."""
        self._shared.budget.release(exchange.charged)
        exchange.charged = 0
        exchange.body = b""

    def _send_refusal(self, status: int, message: str, headers: bytes) -> None:
        if self._transport is None:
            return
        body = error_body(message)
        head = b"%s%s%s%sContent-Length: %d\r\n\r\n" % (_STATUS_LINES[status], JSON, headers, _CLOSE, len(body))
        self._transport.write(head + body)
        if self._shared.access is not None:
            method, path = self._reader.denied or (b"-", b"-")  # else there is no request that could be named
            entry = self._shared.access.begin("HTTP", self._address, method, path, 0)
            _note_status(entry, status)
            entry.bytes_out = len(body)
            entry.end()
        self._refusal = None
        self._close(linger=True)

    # --- the end ---

    def _watch_half_closed(self, exchange: Exchange) -> None:
        asyncio.get_running_loop().call_later(WAIT_SECS, self._half_closed, exchange)

    def _half_closed(self, exchange: Exchange) -> None:
        if exchange is self._current:
            if exchange.access is not None:
                exchange.access.left = True
            _tell_gone(exchange, False)
        if exchange is self._current and self._transport is not None:  # it is worked on, and may be for long
            if not (self._begun or exchange.http_1_0):
                self._transport.write(CONTINUE)
            self._look_for_reset(exchange, WAIT_SECS)

    def _look_for_reset(self, exchange: Exchange, seconds: float) -> None:
        transport = self._transport
        if transport is None or exchange is not self._current:
            return
        if was_reset(transport):
            transport.abort()
        else:
            again = next_look(seconds)
            asyncio.get_running_loop().call_later(seconds, self._look_for_reset, exchange, again)

    def _close(self, linger: bool = False) -> None:
        """Close once everything is sent.

        Args:
            linger: the client may still be sending: closing now would reset the connection before it reads the answer.
        """
        transport = self._transport
        if transport is None or self._closing:
            return
        self._closing = True
        self._unread = b""
        self._since = time.monotonic()
        if linger and not self._input_ended:
            if transport.can_write_eof():  # not over TLS, where the client closes, or is cut off
                transport.write_eof()
            if self._reading_paused:
                self._reading_paused = False
                transport.resume_reading()
        else:
            transport.close()

    def drain(self, status: int, message: str) -> None:
        """Answer what was asked, refuse what is still coming in, and close."""
        self._reader.turned_away = (status, message)
        self._last_answers = self._something_else = True
        if self._reader.phase is not BETWEEN:
            self._reader.give_up(status, message)
        self._pump()

    def leave(self) -> None:
        """Close with the next answer, which says so; refuse nothing."""
        self._last_answers = True

    def close_if_idle(self) -> None:
        """Close unless something is asked, or on its way."""
        if not self.due and self._reader.phase is BETWEEN:
            self._close()

    @property
    def drained(self) -> bool:
        """Everything that was asked is answered and sent."""
        return not self.due and (self._transport is None or self._transport.get_write_buffer_size() == 0)

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """End what takes too long; called about once a second with `time.monotonic()`."""
        transport, limits = self._transport, self._shared.limits
        if transport is None:
            return
        waited = now - self._since
        unsent = transport.get_write_buffer_size()
        if unsent:
            if unsent != self._unsent:  # the client reads, if slowly
                self._unsent, self._since = unsent, now
            elif waited > limits.idle_timeout_secs:
                transport.abort()
        elif self._closing:
            if waited > LINGER_SECS:
                transport.abort()
        elif self.due:
            pass  # it is for us to answer
        elif self._reader.phase is HEAD:
            if waited > limits.head_timeout_secs:
                self._time_out("the headers of a request did not come", limits.head_timeout_secs)
        elif self._reader.phase is BODY:
            if waited > limits.body_timeout_secs:
                self._time_out("nothing of the request's body came", limits.body_timeout_secs)
        elif waited > (limits.idle_timeout_secs if self._reader.turned_away is None else LINGER_SECS):
            self._close()

    def _time_out(self, what: str, seconds: float) -> None:
        self._reader.give_up(408, f"{what} within {seconds:g} seconds")
        self._pump()


def _note_status(entry: AccessEntry, status: int) -> None:
    entry.status, entry.failed = str(status), status >= HTTPStatus.BAD_REQUEST


def _tell_gone(exchange: Exchange, lost: bool) -> None:
    on_gone, exchange.on_gone = exchange.on_gone, None
    if on_gone is not None:
        try:
            on_gone(lost)
        except Exception:  # a defect in one request's handler, which must not harm the connections
            LOG.exception("cannot tell that the client is gone")
