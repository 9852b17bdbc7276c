"""gRPC's calls in the access log: a line for each unary call, and for each request of a stream of inferences. A stream without any,
as those of health and reflection are, has one for itself, and so has what was refused."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tcli_server.errors import ServerError
from tcli_server.observability.access_entry import AccessEntry
from tcli_server.observability.access_log import AccessLog
from tcli_server.protocols.grpc.errors import STATUS, Status, as_server_error
from tcli_server.protocols.grpc.rpc import Message, Rpcs, StreamCall, Streaming, Unary, UnaryCall
from tcli_server.protocols.request_headers import Asked

_METHOD = b"POST"
OK, GONE = Status.OK.name, Status.CANCELLED.name


def logged(rpcs: Rpcs, log: AccessLog) -> Rpcs:
    """The same calls, noted in the log."""
    unary = {path: _unary(path.encode(), begin, log) for path, begin in rpcs.unary.items()}
    streaming = {path: _streaming(path.encode(), serve, log) for path, serve in rpcs.streaming.items()}

    def refused(client: str, path: bytes, status: str) -> None:
        log.begin("gRPC", client, _METHOD, path, 0).end(status, failed=True)

    return replace(rpcs, unary=unary, streaming=streaming, refused=refused)


def end_entry(entry: AccessEntry, error: ServerError | None) -> None:
    """Note how a request has ended."""
    if error is None:
        entry.end(OK)
    else:
        entry.end(STATUS[error.kind].name, failed=True)


class _LoggedCall:
    """A `UnaryCall` over another one."""

    __slots__ = ("_call", "_on_gone", "access")

    def __init__(self, call: UnaryCall, entry: AccessEntry) -> None:
        self.access: AccessEntry | None = entry
        self._call = call
        self._on_gone: Callable[[], object] | None = None
        call.on_gone = self._gone

    @property
    def asked(self) -> Asked:
        return self._call.asked

    @property
    def client(self) -> str:
        return self._call.client

    @property
    def on_gone(self) -> Callable[[], object] | None:
        return self._on_gone

    @on_gone.setter
    def on_gone(self, on_gone: Callable[[], object] | None) -> None:
        self._on_gone = on_gone

    def respond(self, *parts: Message) -> None:
        entry = self._end()
        entry.bytes_out = sum(map(len, parts))
        entry.end(OK)
        self._call.respond(*parts)

    def fail(self, error: ServerError) -> None:
        end_entry(self._end(), error)
        self._call.fail(error)

    def _gone(self) -> None:
        on_gone = self._on_gone
        self._end().end(GONE, failed=True)
        if on_gone is not None:
            on_gone()

    def _end(self) -> AccessEntry:
        assert self.access is not None
        self._on_gone = None
        return self.access


class _LoggedStream:
    """A `StreamCall` over another one."""

    def __init__(self, call: StreamCall, begin: Callable[[int], AccessEntry]) -> None:
        self._call = call
        self._begin = begin
        self._whole: AccessEntry | None = begin(0)
        self.access: Callable[[int], AccessEntry] | None = self._begin_one

    @property
    def client(self) -> str:
        return self._call.client

    @property
    def asked(self) -> Asked:
        return self._call.asked

    async def read(self) -> Message | None:
        message = await self._call.read()
        if self._whole is not None and message is not None:
            self._whole.bytes_in += len(message)
        return message

    async def write(self, *parts: Message) -> None:
        if self._whole is not None:
            self._whole.bytes_out += sum(map(len, parts))
        await self._call.write(*parts)

    def end(self, error: ServerError | None) -> None:
        """It is over."""
        if self._whole is not None:
            end_entry(self._whole, error)

    def gone(self) -> None:
        """Nobody waits for it any more."""
        if self._whole is not None:
            self._whole.end(GONE, failed=True)

    def _begin_one(self, size: int) -> AccessEntry:
        """Its requests have lines of their own, so the stream has none."""
        self._whole = None
        return self._begin(size)


def _unary(path: bytes, begin: Unary, log: AccessLog) -> Unary:
    def begin_logged(data: Message, call: UnaryCall) -> None:
        entry = log.begin("gRPC", call.client, _METHOD, path, len(data))
        begin(data, _LoggedCall(call, entry))

    return begin_logged


def _streaming(path: bytes, serve: Streaming, log: AccessLog) -> Streaming:
    async def serve_logged(call: StreamCall) -> ServerError | None:
        logged_call = _LoggedStream(call, partial(log.begin, "gRPC", call.client, _METHOD, path))
        try:
            error = await serve(logged_call)
        except asyncio.CancelledError:
            logged_call.gone()
            raise
        except Exception as defect:
            logged_call.end(as_server_error(defect, "a call"))
            raise
        logged_call.end(error)
        return error

    return serve_logged
