"""One HTTP/2 connection: streams to calls, answers to frames, and when to read, to wait and to close.

The only module that knows ngh2, which is libnghttp2 without input and output. Framing, header compression, flow control, and the limits
on floods of resets, settings, continuations and headers are the library's.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import ngh2

from tcli_server.observability.log import LOG
from tcli_server.protocols.client_address import client_address
from tcli_server.protocols.grpc.errors import Status
from tcli_server.protocols.grpc.http2.call import Call, StreamCall, UnaryCall
from tcli_server.protocols.grpc.http2.head import Header
from tcli_server.protocols.grpc.http2.large_answers import PIECE, LargeAnswers
from tcli_server.protocols.grpc.http2.pings import Due, Pings
from tcli_server.protocols.grpc.http2.shared import Shared
from tcli_server.protocols.grpc.http2.trailers import CONTENT
from tcli_server.protocols.grpc.options import HANDSHAKE_SECS, MAX_METADATA_BYTES
from tcli_server.protocols.grpc.rpc import Message, Parts
from tcli_server.protocols.tls import ALPN

_STREAM_WINDOW = 1 << 22
_CONNECTION_WINDOW = 1 << 30
"""Bytes that a client may have sent and we have not taken, of one call and of all of a connection: streams that are not read hold up no
other calls, and what all may hold is for the budget to say."""

_FRAME = 1 << 20

_CALLS_PER_TURN = 32
"""Calls that one connection may begin before others have their turn."""

_GONE_PER_TURN = 100
"""Calls of a client that is gone, before others have their turn."""

_STALL_SECS = 75.0
"""A client that takes no byte of what is sent for so long is gone."""

_LINGER_SECS = 5.0
_NOTICE_SECS = 0.05
"""How long calls may still be on their way to a server that has said that it leaves."""

_AGE_JITTER = 0.1

_MOST_OVERSIZED = 32
"""Calls with headers above the limit that a client may make: reading them takes time from everybody."""

_SLICE = 1 << 14
"""Bytes that are read before what they say is handed on."""

_CONFIGURATION = ngh2.Configuration(
    auto_window_update=False,
    max_inbound_header_list_size=1 << 16,  # what is between this and our own limit is answered
    stream_reset_rate_limit=(10_000, 1_000),  # cancelling is cheap here, and a thousand deadlines may pass at once
)

_MOST_STREAMS = (1 << 31) - 1
"""As many as HTTP/2 has numbers for."""


class Connection(asyncio.BufferedProtocol):
    """Reads frames and hands their calls on."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._h2 = ngh2.Connection(ngh2.Role.SERVER, _CONFIGURATION)
        self._calls: dict[int, Call] = {}
        self._unread = memoryview(b"")
        self._events: deque[Any] = deque()
        self._on = self._handlers()
        self._begun = 0  # calls in this turn
        self._working = self._work_due = self._flush_due = False
        self._writing_paused = self._closing = False
        self._leaving = False  # the client knows, and calls that were under way may still come
        self._left = False  # no more are taken
        self._large = LargeAnswers()
        self._answered: list[int] = []  # streams, since the last look
        self._lingering: list[int] = []  # and before it
        self.waiting_for_room: set[StreamCall] = set()
        self._made = self._moved = time.monotonic()
        self._pings = Pings(shared.options, self._made)
        self._spoke = False
        self._oversized = 0
        self._unsent = 0
        self._address: str | None = None
        age = shared.options.max_connection_age / 1e3
        self._leaves_at = self._made + age * random.uniform(1 - _AGE_JITTER, 1 + _AGE_JITTER) if age else None

    @property
    def client(self) -> str:
        """As `rpc.UnaryCall.client`."""
        if self._address is None:
            self._address = client_address(self._transport)
        return self._address

    # --- asyncio's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        shared = self._shared
        tls = self._transport.get_extra_info("ssl_object")
        if len(shared.connections) >= shared.max_connections or (tls and tls.selected_alpn_protocol() != ALPN["grpc"]):
            self._closing = True
            self._transport.abort()
            return
        shared.connections.add(self)
        self._h2.initiate_connection(
            {
                ngh2.Setting.MAX_CONCURRENT_STREAMS: min(shared.options.max_pending_calls, _MOST_STREAMS),
                ngh2.Setting.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                ngh2.Setting.MAX_FRAME_SIZE: _FRAME,
                ngh2.Setting.MAX_HEADER_LIST_SIZE: MAX_METADATA_BYTES,
            }
        )
        self._h2.set_local_window_size(_CONNECTION_WINDOW)
        self._flush()
        if shared.draining:
            self.drain()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._closing = True
        self._shared.connections.discard(self)
        self._forget()

    def _forget(self) -> None:
        """Let go of all that came; nobody waits for the calls."""
        self._on = {}  # a circle that keeps what was not sent
        self._events.clear()
        self._unread = memoryview(b"")
        calls, self._calls = list(self._calls.values()), {}
        self._large = LargeAnswers()
        self._leave(calls)

    def _leave(self, calls: list[Call]) -> None:
        """Tell calls that their client is gone, some of them in each turn: there may be thousands."""
        for call in calls[-_GONE_PER_TURN:]:
            call.gone()
        del calls[-_GONE_PER_TURN:]
        if calls:
            self._shared.loop.call_soon(self._leave, calls)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._flush()

    def eof_received(self) -> bool:
        """A client that ends its side ends the connection, as HTTP/2 has it."""
        return False

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._shared.arrivals

    def buffer_updated(self, count: int) -> None:
        if self._closing:
            return
        self._pings.heard(time.monotonic())
        came = self._shared.arrivals[:count]
        self._unread = memoryview(bytes(self._unread) + came) if self._unread else came
        self._work()
        if self._unread:  # others will read to the same place
            self._unread = memoryview(bytes(self._unread))

    # --- from frames to calls ---

    def _handlers(self) -> dict[type, Callable[[Any], None]]:
        return {
            ngh2.RequestReceived: self._request_received,
            ngh2.DataReceived: self._data_received,
            ngh2.TrailersReceived: self._trailers_received,
            ngh2.StreamReset: self._stream_over,
            ngh2.StreamClosed: self._stream_over,
            ngh2.SettingsReceived: self._settings_received,
            ngh2.PingReceived: self._ping_received,
            ngh2.ConnectionClosed: self._connection_closed,
        }

    def _work(self) -> None:
        """Hand on what came, a part of it in each turn: thousands of calls may have come at once."""
        if self._working:
            return
        self._working = True
        self._begun = 0
        events, on = self._events, self._on
        try:
            while not self._closing:
                if not events:
                    if not self._unread:
                        break
                    self._read()
                elif self._begun >= _CALLS_PER_TURN:
                    self._work_later()
                    break
                else:
                    event = events.popleft()
                    handler = on.get(type(event))
                    if handler is not None:
                        handler(event)
        except ngh2.NGH2Error as error:  # the client's mistake
            LOG.debug("a gRPC connection is closed: %s", error)
            self._flush()
            self._hang_up()
            return
        except Exception:  # ours, which must not cost more than this connection
            LOG.exception("a gRPC connection is closed")
            self.abort()
            return
        finally:
            self._working = False
        self._flush()

    def _read(self) -> None:
        """Take a little: a byte of compressed headers can stand for thousands."""
        self._begun += 1
        data, self._unread = self._unread[:_SLICE], self._unread[_SLICE:]
        self._h2.receive_data(data)
        self._events += self._h2.events()

    def _work_later(self) -> None:
        if not self._work_due:
            self._work_due = True
            if self._transport is not None:
                self._transport.pause_reading()
            self._shared.loop.call_soon(self._work_again)

    def _work_again(self) -> None:
        self._work_due = False
        self._work()
        if not self._work_due and self._transport is not None and not self._closing:
            self._transport.resume_reading()

    def _request_received(self, event: Any) -> None:
        self._begun += 1
        head = self._shared.heads.read(event.headers)
        if head.http_status != 200:
            if self._shared.refused is not None:
                self._shared.refused(self.client, head.path, str(head.http_status))
            with contextlib.suppress(ngh2.ProtocolError):  # it is reset already
                self._h2.send_response(event.stream_id, [(b":status", b"%d" % head.http_status)], end_stream=True)
            return
        kind = StreamCall if head.streaming is not None else UnaryCall
        call = self._calls[event.stream_id] = kind(self, self._shared, event.stream_id, head)
        if head.refusal is not None:
            call.turn_away(*head.refusal)
            self._oversized += head.refusal[0] is Status.RESOURCE_EXHAUSTED
            if self._oversized > _MOST_OVERSIZED:
                self.calm()
        elif event.end_stream:
            call.finish()

    def _data_received(self, event: Any) -> None:
        call = self._calls.get(event.stream_id)
        if not isinstance(call, StreamCall):  # a message is needed as a whole; streams say what they have read
            self._h2.acknowledge_received_data(len(event.data), event.stream_id)
        if isinstance(call, UnaryCall) and event.end_stream:
            call.receive_last(event.data)
        elif call is not None:
            call.receive(event.data)
            if event.end_stream:
                call.finish()

    def _trailers_received(self, event: Any) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.finish()

    def _stream_over(self, event: Any) -> None:
        call = self._calls.pop(event.stream_id, None)
        if self._large.size:
            self._large.drop(event.stream_id)
        if call is not None:
            call.gone()

    def _settings_received(self, event: Any) -> None:  # noqa: ARG002
        self._spoke = True

    def _ping_received(self, event: Any) -> None:  # noqa: ARG002
        if self._pings.is_too_many(time.monotonic(), bool(self._calls)):
            self.calm(b"too_many_pings")

    @property
    def open_calls(self) -> int:
        """How many the client has begun and not ended."""
        return len(self._calls)

    def calm(self, why: bytes = b"") -> None:
        """Close, as the client asks for too much."""
        self._h2.send_goaway(ngh2.ErrorCode.ENHANCE_YOUR_CALM, debug_data=why)
        self._flush()
        self._hang_up()

    def _connection_closed(self, event: Any) -> None:  # noqa: ARG002
        self._flush()
        self._hang_up()

    # --- answering ---

    def send_whole(self, call: Call, head: Sequence[Header], data: bytes, end: Sequence[Header]) -> None:
        """As `Carrying`."""
        stream_id, h2 = call.stream_id, self._h2
        self._answered.append(stream_id)
        if self._closing or stream_id not in self._calls:
            return
        try:
            h2.send_response(stream_id, head)
            h2.send_data(stream_id, data)
            h2.send_trailers(stream_id, end)
        except ngh2.NGH2Error:  # as in `_send`
            return
        self._pings.sent_data()
        self._flush_later()

    def send_head(self, call: Call, headers: Sequence[Header]) -> None:
        """As `Carrying`."""
        self._send(self._h2.send_response, call.stream_id, headers)

    def send_data(self, call: Call, data: bytes) -> None:
        """As `Carrying`."""
        if self._large.size and call.stream_id in self._large:
            self._large.add(call.stream_id, (data,))
        else:
            self._send(self._h2.send_data, call.stream_id, data)

    def send_parts(self, call: Call, parts: Parts) -> None:
        """As `Carrying`."""
        if self._closing or call.stream_id not in self._calls:
            return
        if self._large.is_full and call.stream_id not in self._large:
            self._send(self._h2.send_data, call.stream_id, b"".join(parts))
            return
        self._large.add(call.stream_id, parts)
        self._pings.sent_data()
        self._flush_later()

    def _hand_over(self, stream_id: int, piece: Message, end: Sequence[Header] | None) -> None:
        with contextlib.suppress(ngh2.NGH2Error):  # the client has reset it, of which we shall hear
            self._h2.send_data(stream_id, piece)
            if end is not None:
                self._h2.send_trailers(stream_id, end)

    def send_end(self, call: Call, headers: Sequence[Header], alone: bool) -> None:
        """As `Carrying`."""
        if alone:
            self._send(partial(self._h2.send_response, end_stream=True), call.stream_id, (*CONTENT, *headers))
        elif self._large.size and call.stream_id in self._large:
            self._large.end(call.stream_id, headers)
        else:
            self._send(self._h2.send_trailers, call.stream_id, headers)
        self._answered.append(call.stream_id)

    def unsent_of_all(self) -> int:
        """As `Carrying`."""
        try:
            return self._h2.queued_body_size() + self._large.size if not self._closing else 0
        except ngh2.NGH2Error:  # it is over
            return 0

    def unsent(self, call: Call) -> int:
        """As `Carrying`."""
        stream_id = call.stream_id
        return self._queued(stream_id) + self._large.left(stream_id) if stream_id in self._calls else 0

    def _queued(self, stream_id: int) -> int:
        try:
            return self._h2.queued_body_size(stream_id)
        except ngh2.ProtocolError:  # it is reset already
            return 0

    def acknowledge(self, call: Call, count: int) -> None:
        """As `Carrying`."""
        if not self._closing:
            with contextlib.suppress(ngh2.NGH2Error):  # it has ended, of which we shall hear
                self._h2.acknowledge_received_data(count, call.stream_id)
                self._flush_later()

    def _send(self, send: Callable[..., None], stream_id: int, what: Any) -> None:
        if self._closing or stream_id not in self._calls:
            return
        try:
            send(stream_id, what)
        except ngh2.NGH2Error:  # the client has reset it or is gone, of which the call will hear
            return
        self._pings.sent_data()
        self._flush_later()

    def _flush_later(self) -> None:
        """Once for all answers of a turn."""
        if not self._flush_due and not self._working:
            self._flush_due = True
            self._shared.loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Give the transport what it takes."""
        self._flush_due = False
        if self._closing:
            return
        try:
            self._write()
        except ngh2.NGH2Error as error:
            LOG.debug("a gRPC connection is closed: %s", error)
            self._hang_up()
            return
        for call in tuple(self.waiting_for_room):
            call.has_room()
        # Also a call that has ended is waited for until its client has ended it, or `_end_streams` has: else it may hear of the end
        # of the connection alone.
        if self._left and not (self._calls or self.is_busy or self._events or self._unread):
            self._close()

    def _write(self) -> None:
        transport, h2 = self._transport, self._h2
        queued, large = h2.queued_body_size(), self._large.size
        while transport is not None and not self._writing_paused:
            if self._large.size:
                self._large.feed(self._queued, self._hand_over)
            data = h2.data_to_send(PIECE)
            if not data:
                break
            transport.write(data)
        if h2.queued_body_size() < queued or self._large.size < large:  # the queue may have been filled again
            self._pings.sent_data()
        for event in h2.events():  # streams that have come to their end by what was sent
            if isinstance(event, ngh2.StreamClosed) and not self._events:  # not ahead of its own beginning
                self._stream_over(event)
            else:
                self._events.append(event)
        if self._events and not self._working:
            self._work_later()

    def _end_streams(self) -> None:
        """Tell clients that still send where they are answered already that nobody listens."""
        # Not at once: of a frame that is cut off in its middle, libnghttp2 does not give back the connection's window. Clients
        # end such streams themselves.
        over, self._lingering, self._answered = self._lingering, self._answered, []
        for stream_id in over:
            if stream_id not in self._calls:
                continue
            if self._queued(stream_id) or stream_id in self._large:
                self._answered.append(stream_id)
            else:
                with contextlib.suppress(ngh2.NGH2Error):
                    self._h2.reset_stream(stream_id, ngh2.ErrorCode.NO_ERROR)
        if over:
            self._flush_later()

    # --- the end ---

    def drain(self) -> None:
        """Begin no more calls, and close when those there are have ended."""
        if self._closing and self._transport is not None:
            self._transport.close()
        if self._leaving or self._closing or self._transport is None:
            return
        self._leaving = True
        with contextlib.suppress(ngh2.NGH2Error):  # it is over anyway
            self._h2.send_shutdown_notice()
        self._flush_later()
        self._shared.loop.call_later(_NOTICE_SECS, self._say_goodbye)

    def _say_goodbye(self) -> None:
        if not self._closing:
            with contextlib.suppress(ngh2.NGH2Error):
                self._h2.send_goaway()
            self._left = True
            self._flush()

    @property
    def is_busy(self) -> bool:
        """Something that was asked is not answered, or not sent: the client may have given no window for it."""
        if self._transport is None:
            return False
        unsent = self._transport.get_write_buffer_size() + self.unsent_of_all()
        return unsent > 0 or any(not call.ended for call in self._calls.values())

    def _close(self) -> None:
        """Close once everything is sent that the transport has."""
        self._closing = True
        self._moved = time.monotonic()
        if self._transport is not None:
            self._transport.close()

    def _hang_up(self) -> None:
        """Close after a mistake of the client, which may still be sending: it would be reset before it reads what was wrong."""
        self._closing = True
        self._moved = time.monotonic()
        self._forget()
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._transport.resume_reading()  # until it closes, or `_LINGER_SECS` are over
        else:  # TLS has an end of its own
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def check(self, now: float) -> None:
        """End what takes too long; called about once a second with `time.monotonic()`."""
        transport, options = self._transport, self._shared.options
        if transport is None:
            return
        unsent = transport.get_write_buffer_size()
        if unsent != self._unsent or not (unsent or self._closing):
            self._unsent, self._moved = unsent, now
        elif now - self._moved > (_LINGER_SECS if self._closing else _STALL_SECS):
            transport.abort()
            return
        if not self._spoke and now - self._made > HANDSHAKE_SECS:
            transport.abort()
            return
        if self._leaves_at is not None and now >= self._leaves_at:
            grace = options.max_connection_age_grace / 1e3
            self.drain()
            if grace and now - self._leaves_at >= grace:
                transport.abort()
                return
        if not self._closing and not self._writing_paused:
            self._end_streams()
        due = self._pings.due(now, bool(self._calls))
        if due is Due.CLOSE:
            transport.abort()
        elif due is Due.PING and not self._closing:
            self._h2.ping()
            self._flush()
