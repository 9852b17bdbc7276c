"""One call on a connection: from the data of its stream to messages, and from answers to data."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from tcli_server.errors import InternalError, ServerError
from tcli_server.observability.log import LOG
from tcli_server.protocols.grpc.errors import Status, as_server_error, status_and_details
from tcli_server.protocols.grpc.http2.head import Head, Header
from tcli_server.protocols.grpc.http2.large_answers import PIECE
from tcli_server.protocols.grpc.http2.messages import (
    PIECE_BYTES,
    MessageError,
    MessageReader,
    compress,
    decompress,
    only_message,
    prefix,
)
from tcli_server.protocols.grpc.http2.trailers import CONTENT, OK, coding_headers, trailers
from tcli_server.protocols.grpc.rpc import Message, Parts, begin_safely
from tcli_server.protocols.request_headers import Asked

if TYPE_CHECKING:
    from tcli_server.protocols.grpc.http2.shared import Shared

_SMALL = 1 << 14
"""Bytes that are compressed or decompressed within about a millisecond."""

_UNREAD = 4
"""Messages of a stream that may wait to be read."""

_ROOM = 1 << 18
"""Bytes of a stream's answers that may wait for the client."""

_WRITES_PER_TURN = 16
"""Answers of one stream before others have their turn."""


class Carrying(Protocol):
    """What a call needs of its connection.

    Attributes:
        waiting_for_room: streams that are told by `has_room` when something was sent.
    """

    waiting_for_room: "set[StreamCall]"

    @property
    def client(self) -> str:
        """As `rpc.UnaryCall.client`."""

    def send_whole(self, call: "Call", head: Sequence[Header], data: bytes, end: Sequence[Header]) -> None:
        """Send an answer that is complete: headers, data and the last headers."""

    def send_head(self, call: "Call", headers: Sequence[Header]) -> None:
        """Send headers, ahead of data."""

    def send_data(self, call: "Call", data: bytes) -> None:
        """Send data, at once or as the client takes it."""

    def send_parts(self, call: "Call", parts: Parts) -> None:
        """The same for much data, which is not copied until it is sent."""

    def send_end(self, call: "Call", headers: Sequence[Header], alone: bool) -> None:
        """Send the last headers; `alone` where there were none before."""

    def unsent(self, call: "Call") -> int:
        """Bytes of a call's data that wait for the client."""

    def unsent_of_all(self) -> int:
        """Bytes of all calls' data that wait for the client."""

    def acknowledge(self, call: "Call", count: int) -> None:
        """Let the client send so many bytes more."""


class Call:
    """What unary calls and streams have in common.

    Attributes:
        stream_id: of HTTP/2.
        ended: the answer is complete, or nobody waits for it.
    """

    __slots__ = ("_carrier", "_charged", "_deadline", "_head", "_head_sent", "_reader", "_shared", "ended", "stream_id")

    access = None

    def __init__(self, carrier: Carrying, shared: "Shared", stream_id: int, head: Head) -> None:
        self.stream_id = stream_id
        self.ended = False
        self._carrier = carrier
        self._shared = shared
        self._head = head
        self._reader = MessageReader(shared.budget, shared.even_at)
        self._charged = 0
        self._head_sent = False
        self._deadline: asyncio.TimerHandle | None = None
        if head.timeout_secs is not None:
            self._deadline = shared.loop.call_later(head.timeout_secs, self._expire)

    @property
    def client(self) -> str:
        """As `rpc.UnaryCall.client`."""
        return self._carrier.client

    @property
    def asked(self) -> Asked:
        """As `rpc.UnaryCall.asked`."""
        return self._head.asked

    def receive(self, data: bytes) -> None:
        """Some data of the stream."""
        raise NotImplementedError

    def finish(self) -> None:
        """The client sends nothing more."""
        raise NotImplementedError

    def gone(self) -> None:
        """The client has cancelled the call, or is gone."""
        if not self.ended:
            self._leave()
            self._end()

    def _leave(self) -> None:
        """Tell who works on it that nobody waits any more."""
        raise NotImplementedError

    def refuse(self, status: Status, details: str) -> None:
        """End with a status, unless it has ended."""
        if self.ended:
            return
        self._end()
        self._carrier.send_end(self, trailers(status, details), not self._head_sent)

    def turn_away(self, status: Status, details: str) -> None:
        """The same, before anybody works on it."""
        if not self.ended:
            self._note(status)
        self.refuse(status, details)

    def _note(self, status: Status) -> None:
        """Have it noted, as nobody who works on it will."""
        if self._shared.refused is not None:
            self._shared.refused(self.client, self._head.path, status.name)

    def _expire(self) -> None:
        self._deadline = None
        if not self.ended:
            self._leave()
            self.refuse(Status.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def _charge(self, count: int) -> None:
        """Have so many bytes count as held by this call.

        Raises:
            MessageError: there is no room for them.
        """
        count = 0 if self.ended else count
        more = count - self._charged
        budget = self._shared.budget
        if more > 0 and not budget.reserve(more):
            raise MessageError(
                Status.UNAVAILABLE,
                f"calls hold {budget.held} bytes already, which is nearly all that they may: try again later",
            )
        if more < 0:
            budget.release(-more)
        self._charged = count

    def _end(self) -> None:
        self.ended = True
        self._charge(0)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _send_head(self) -> None:
        if not self._head_sent:
            self._head_sent = True
            coding = self._shared.response_coding(self._head.accepts)
            self._carrier.send_head(self, coding_headers(coding) if coding else CONTENT)

    def _send_message(self, parts: Parts, compressed: bool = False) -> None:
        self._send_head()
        size = sum(map(len, parts))
        begin = prefix(compressed, size)
        if size > PIECE:
            self._carrier.send_parts(self, (begin, *parts))
        else:
            self._carrier.send_data(self, b"".join((begin, *parts)))

    def _compressed(self, parts: Parts) -> tuple[bytes, bool]:
        """A message as it is sent in the coding of this call, and whether that is another than it was."""
        message = b"".join(parts)
        smaller = compress(
            message,
            self._shared.response_coding(self._head.accepts),
            self._shared.options.infer_response_compression_level,
        )
        return (smaller, True) if len(smaller) < len(message) else (message, False)

    def _decompressed(self, message: Message) -> bytes:
        if not self._head.coding:
            raise MessageError(Status.INTERNAL, "a message is compressed, and grpc-encoding does not say how")
        return decompress(message, self._shared.largest_decompressed)


class UnaryCall(Call):
    """A `rpc.UnaryCall`."""

    __slots__ = ("_complete", "_messages", "on_gone")

    def __init__(self, carrier: Carrying, shared: "Shared", stream_id: int, head: Head) -> None:
        super().__init__(carrier, shared, stream_id, head)
        self.on_gone: Callable[[], object] | None = None
        self._messages: list[tuple[bool, Message]] = []
        self._complete = 0

    def receive(self, data: bytes) -> None:
        if self.ended:
            return
        try:
            messages = self._reader.feed(data)
            self._messages += messages
            self._complete += _held(messages)
            self._charge(self._complete + self._reader.held)
        except MessageError as error:
            self.turn_away(error.status, str(error))
            return
        if len(self._messages) > 1:
            self.turn_away(Status.INTERNAL, "expected one message, found more")

    def receive_last(self, data: bytes) -> None:
        """The last data of the stream, which nearly always is all of it."""
        if self.ended:
            return
        if self._messages or self._reader.held:
            self.receive(data)
            self.finish()
            return
        try:
            message = only_message(data)
            if message is not None:
                self._charge(len(message) + PIECE_BYTES)
        except MessageError as error:
            self.turn_away(error.status, str(error))
            return
        if message is None:
            self.receive(data)
            self.finish()
        else:
            self._begin(message)

    def finish(self) -> None:
        if self.ended:
            return
        messages, self._messages = self._messages, []
        if len(messages) != 1 or self._reader.unfinished:
            found = f"{len(messages)} messages" + (" and a part of one" if self._reader.unfinished else "")
            self.turn_away(Status.INTERNAL, f"expected one message, found {found}")
            return
        is_compressed, message = messages.pop()
        if not is_compressed:
            self._begin(message)
        elif len(message) <= _SMALL:
            self._decompress_now(message)
        else:
            work = self._shared.loop.run_in_executor(self._shared.pool, self._decompressed, message)
            work.add_done_callback(self._decompressed_later)

    def respond(self, *parts: Message) -> None:
        if self.ended:
            return
        if not self._shared.response_coding(self._head.accepts):
            self._answer(parts)
        elif sum(map(len, parts)) <= _SMALL:
            message, compressed = self._compressed(parts)
            self._answer((message,), compressed)
        else:
            work = self._shared.loop.run_in_executor(self._shared.pool, self._compressed, parts)
            work.add_done_callback(self._compressed_later)

    def fail(self, error: ServerError) -> None:
        self.refuse(*status_and_details(error))

    def _end(self) -> None:
        super()._end()
        self.on_gone = None  # a circle that keeps the message alive
        self._messages = []  # no longer charged, so no longer kept
        self._reader.drop()

    def _begin(self, message: Message) -> None:
        assert self._head.unary is not None
        begin_safely(self._head.unary, message, self)

    def _answer(self, parts: Parts, compressed: bool = False) -> None:
        if self.ended:
            return
        most = self._shared.most_unsent
        if self._carrier.unsent_of_all() > most:
            self.refuse(Status.UNAVAILABLE, f"more than {most} bytes of answers wait for this client to read them")
            return
        self._end()
        size = sum(map(len, parts))
        if size > PIECE:
            self._send_message(parts, compressed)
            self._carrier.send_end(self, OK, alone=False)
        else:
            coding = self._shared.response_coding(self._head.accepts)
            head = coding_headers(coding) if coding else CONTENT
            self._carrier.send_whole(self, head, b"".join((prefix(compressed, size), *parts)), OK)

    def _decompress_now(self, message: Message) -> None:
        try:
            whole = self._decompressed(message)
        except MessageError as error:
            self.turn_away(error.status, str(error))
            return
        self._begin_large(whole)

    def _begin_large(self, message: bytes) -> None:
        try:
            self._charge(len(message))
        except MessageError as error:
            self.turn_away(error.status, str(error))
            return
        self._begin(message)

    def _decompressed_later(self, work: "asyncio.Future[bytes]") -> None:
        if work.cancelled() or self.ended:
            return
        error = work.exception()
        if isinstance(error, MessageError):
            self.turn_away(error.status, str(error))
        elif error is not None:
            self.turn_away(*_of_defect(error))
        else:
            self._begin_large(work.result())

    def _compressed_later(self, work: "asyncio.Future[tuple[bytes, bool]]") -> None:
        if work.cancelled() or self.ended:
            return
        error = work.exception()
        if error is not None:
            self.refuse(*_of_defect(error))
        else:
            message, compressed = work.result()
            self._answer((message,), compressed)

    def _leave(self) -> None:
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            try:
                on_gone()
            except Exception:  # a defect in one call's handler, which must not harm the connections
                LOG.exception("cannot tell that the client is gone")


class StreamCall(Call):
    """A `rpc.StreamCall`, and the task that serves it."""

    def __init__(self, carrier: Carrying, shared: "Shared", stream_id: int, head: Head) -> None:
        super().__init__(carrier, shared, stream_id, head)
        self._unread: deque[tuple[bool, Message]] = deque()
        self._unread_bytes = 0
        self._received = self._acknowledged = 0
        self._finished = self._serves = self._serving_ends = False
        self._written = 0
        self._wanted: asyncio.Future[None] | None = None  # who reads waits for a message
        self._space: asyncio.Future[None] | None = None  # who writes waits for the client
        assert head.streaming is not None
        self._task = shared.loop.create_task(self._serve())

    def receive(self, data: bytes) -> None:
        if self.ended:
            self._carrier.acknowledge(self, len(data))
            return
        self._received += len(data)
        try:
            messages = self._reader.feed(data)
            self._unread += messages
            self._unread_bytes += _held(messages)
            self._charge(self._unread_bytes + self._reader.held)
        except MessageError as error:
            self._reject(error.status, str(error))
            return
        self._acknowledge()
        if self._unread:
            _wake(self._wanted)

    def finish(self) -> None:
        if self.ended:
            return
        if self._reader.unfinished:
            self._reject(Status.INTERNAL, "the stream ended in the middle of a message")
            return
        self._finished = True
        _wake(self._wanted)

    def has_room(self) -> None:
        """The connection has sent something."""
        if self._space is not None and self._carrier.unsent(self) <= _ROOM // 2:
            _wake(self._space)

    async def read(self) -> Message | None:
        while not self._unread:
            if self._finished:
                return None
            self._wanted = self._shared.loop.create_future()
            await self._wanted
        is_compressed, message = self._unread.popleft()
        self._unread_bytes -= len(message) + PIECE_BYTES
        self._charge(self._unread_bytes + self._reader.held)
        self._acknowledge()
        if not is_compressed:
            return message
        try:
            if len(message) <= _SMALL:
                return self._decompressed(message)
            return await self._shared.loop.run_in_executor(self._shared.pool, self._decompressed, message)
        except MessageError as error:
            raise InternalError(str(error)) from None

    async def write(self, *parts: Message) -> None:
        compressed = False
        if self._shared.response_coding(self._head.accepts):
            if sum(map(len, parts)) <= _SMALL:
                message, compressed = self._compressed(parts)
            else:
                message, compressed = await self._shared.loop.run_in_executor(
                    self._shared.pool, self._compressed, parts
                )
            parts = (message,)
        if self.ended:
            await (
                self._shared.loop.create_future()
            )  # until this is cancelled; whoever writes would go on and on otherwise
        self._send_message(parts, compressed)
        self._written += 1
        if not self._written % _WRITES_PER_TURN:
            await asyncio.sleep(0)
        if self._carrier.unsent(self) <= _ROOM:
            return
        self._carrier.waiting_for_room.add(self)
        try:
            while self._carrier.unsent(self) > _ROOM:
                self._space = self._shared.loop.create_future()
                await self._space
        finally:
            self._carrier.waiting_for_room.discard(self)

    def _acknowledge(self) -> None:
        """Let the client send more: what is not a message yet, or has been read. So who reads slowly is sent slowly."""
        waiting = (
            self._unread_bytes if len(self._unread) >= _UNREAD else 0
        )  # somewhat more than came: so much the better
        count = self._received - waiting - self._acknowledged
        if count > 0:
            self._acknowledged += count
            self._carrier.acknowledge(self, count)

    def _reject(self, status: Status, details: str) -> None:
        """End with a status, as what comes cannot be read; who serves it hears of that only if that has begun."""
        if self._serves:
            self.refuse(status, details)
        else:
            self.turn_away(status, details)

    async def _serve(self) -> None:
        assert self._head.streaming is not None
        self._serves = True
        status, details = Status.OK, ""
        try:
            error = await self._head.streaming(self)
            if error is not None:
                status, details = status_and_details(error)
        except asyncio.CancelledError:  # nobody waits for it, or the server ends
            status, details = Status.CANCELLED, "the call was cancelled"
        except Exception as problem:
            status, details = _of_defect(problem)
        if self.ended:
            return
        self._serving_ends = True
        if status is Status.OK:
            self._send_head()
            self._end()
            self._carrier.send_end(self, OK, alone=False)
        else:
            self.refuse(status, details)

    def _leave(self) -> None:
        """`_end` cancels who serves it, and what has not begun hears of nothing."""
        if not self._serves:
            self._note(Status.CANCELLED)

    def _end(self) -> None:
        super()._end()
        self._unread.clear()
        self._unread_bytes = 0
        self._reader.drop()
        self._acknowledge()  # or the connection's window shrinks for ever
        if not self._serving_ends:
            self._task.cancel()


def _held(messages: Sequence[tuple[bool, Message]]) -> int:
    return sum(len(message) + PIECE_BYTES for _, message in messages)


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _of_defect(error: BaseException) -> tuple[Status, str]:
    return status_and_details(as_server_error(error if isinstance(error, Exception) else Exception(error), "a call"))
