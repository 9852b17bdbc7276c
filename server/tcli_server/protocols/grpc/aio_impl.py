"""gRPC by grpc.aio, the reference implementation: where ngh2 is not installed, and with `--grpc-engine aio`."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio

from tcli_server.errors import ServerError
from tcli_server.observability.log import LOG
from tcli_server.protocols.grpc.errors import RETRY_METADATA, Status, status_and_details
from tcli_server.protocols.grpc.guard import GrpcGuard
from tcli_server.protocols.grpc.options import (
    COMPRESSION_LEVELS,
    HANDSHAKE_SECS,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    GrpcOptions,
)
from tcli_server.protocols.grpc.rpc import Message, Metadata, Parts, Refused, Rpcs, Streaming, Unary, begin_safely
from tcli_server.protocols.request_headers import Asked
from tcli_server.protocols.tls import Certificates, Pem

_INT32_MAX = 2**31 - 1

_QUICK_BYTES = 1 << 20
"""Bytes that are copied within about a millisecond."""

LOOK_SECS = 0.5
"""How often it is looked whether grpc.aio still takes calls."""

_LAST_SECS = 30.0
"""How long the calls of a server may go on that has come to an end by itself."""

OpenServer = Callable[[int], Coroutine[Any, Any, tuple[grpc.aio.Server, int]]]
"""Opens a server on a port, and tells on which, as 0 takes a free one; may raise OSError."""

_STATUS = {status.value[0]: status for status in grpc.StatusCode}


class AioListener:
    """A listening server of grpc.aio, and the next one if that comes to an end by itself; a `Listener`.

    One call whose path is no UTF-8 ends the loop in which grpc.aio (1.85) takes calls, and with it the port. The calls that it has taken go on.

    Args:
        open_server: makes one that listens on a port.
    """

    def __init__(self, server: grpc.aio.Server, port: int, open_server: OpenServer) -> None:
        self.port = port
        self._server = server
        self._open_server = open_server
        self._ended: list[grpc.aio.Server] = []
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def abort(self) -> None:
        """Cut off every call."""
        await self._stop(None)

    async def close(self, timeout: float) -> bool:
        """Close the port, and connections as soon as the answers are sent, at most `timeout` seconds from now."""
        deadline = time.monotonic() + timeout
        await self._stop(timeout)
        return not timeout or time.monotonic() < deadline

    async def _stop(self, grace: float | None) -> None:
        self._watching.cancel()
        await asyncio.gather(*(server.stop(grace) for server in (self._server, *self._ended)))

    async def _watch(self) -> None:
        while True:
            try:
                await self._server.wait_for_termination(LOOK_SECS)
            except Exception as error:
                LOG.error("grpc.aio takes no more calls (%s: %s) and is started again", type(error).__name__, error)
                await self._replace()

    async def _replace(self) -> None:
        """Open the port again; calls of the server that has ended have some time, as they are not to blame."""
        ended = self._server
        try:
            self._server, _ = await self._open_server(self.port)
        except OSError as error:  # tried again with the next look
            LOG.error("gRPC: %s", error)
            await asyncio.sleep(LOOK_SECS)
            return
        self._ended.append(ended)
        asyncio.get_running_loop().create_task(self._let_go(ended))

    async def _let_go(self, ended: grpc.aio.Server) -> None:
        await ended.stop(_LAST_SECS)
        self._ended.remove(ended)


async def listen(
    rpcs: Rpcs,
    host: str,
    port: int,
    options: GrpcOptions,
    reuse_port: bool = False,
    guard: GrpcGuard | None = None,
    certificates: Certificates | None = None,
) -> AioListener:
    """Serve in the running loop; port 0 takes a free one.

    Args:
        reuse_port: other processes listen on it, too.
        guard: who may call what; None where everybody may call everything.
        certificates: for TLS; None for connections that anybody on the way can read.

    Raises:
        OSError: the address cannot be bound.
    """
    arguments = channel_arguments(options)
    # Unless it is wanted, a port that another program listens on is an error, not a shared port.
    arguments.append(("grpc.so_reuseport", int(reuse_port)))
    handlers = {
        path: grpc.unary_unary_rpc_method_handler(_unary(unary, rpcs.read_metadata))
        for path, unary in rpcs.unary.items()
    }
    handlers |= {
        path: grpc.stream_stream_rpc_method_handler(_streaming(one, rpcs.read_metadata))
        for path, one in rpcs.streaming.items()
    }

    async def open_server(port: int) -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(options=arguments)
        server.add_generic_rpc_handlers((_Handlers(handlers, guard, rpcs.refused),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if certificates is None:
                bound = server.add_insecure_port(address)
            else:
                bound = server.add_secure_port(address, _credentials(certificates))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from None
        await server.start()
        return server, bound

    return AioListener(*await open_server(port), open_server)


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Which ask for the files' contents at each handshake, from any thread."""
    shown = certificates.pem

    def configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.root)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        if certificates.pem is shown:
            return None
        shown = certificates.pem
        return configuration(shown)

    return grpc.dynamic_ssl_server_credentials(configuration(shown), renewed, shown.root is not None)


def channel_arguments(options: GrpcOptions) -> list[tuple[str, int]]:
    """The options in gRPC's words; numbers that it has no room for are as good as the largest."""
    arguments = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # gRPC would answer CANCELLED, without telling us, from the thousandth call that waits for this process, or after
        # 30 s of waiting; what is too much is for `Admission` to say.
        ("grpc.server.max_pending_requests", _INT32_MAX),
        ("grpc.server.max_pending_requests_hard_limit", _INT32_MAX),
        ("grpc.server_max_unrequested_time_in_server", _INT32_MAX),
        # A call that has not sent its message yet is one that only gRPC can count.
        ("grpc.max_concurrent_streams", options.max_pending_calls),
        ("grpc.max_allowed_incoming_connections", options.max_connections),
        ("grpc.server_handshake_timeout_ms", int(1e3 * HANDSHAKE_SECS)),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        # Not a call's own setting, which grpc.aio forgets where nothing but the answer is sent.
        ("grpc.default_compression_level", COMPRESSION_LEVELS.index(options.infer_response_compression_level)),
        ("grpc.keepalive_time_ms", options.keepalive_time),
        ("grpc.keepalive_timeout_ms", options.keepalive_timeout),
        ("grpc.keepalive_permit_without_calls", int(options.keepalive_permit_without_calls)),
        ("grpc.http2.max_pings_without_data", options.http2_max_pings_without_data),
        ("grpc.http2.min_ping_interval_without_data_ms", options.http2_min_recv_ping_interval_without_data),
        ("grpc.http2.max_ping_strikes", options.http2_max_ping_strikes),
    ]
    if options.max_connection_age:
        arguments.append(("grpc.max_connection_age_ms", options.max_connection_age))
    if options.max_connection_age_grace:
        arguments.append(("grpc.max_connection_age_grace_ms", options.max_connection_age_grace))
    most = _INT32_MAX - 1  # with one more for connections gRPC ends the process
    return [(name, min(value, most)) for name, value in arguments]


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, handlers: dict[str, Any], guard: GrpcGuard | None, refused: Refused | None) -> None:
        self._handlers = handlers
        self._guard = guard
        self._refused = refused

    def service(self, details: Any) -> Any:
        """The handler of a path; None if there is none."""
        if self._guard is not None:
            metadata = [(name.encode(), _as_bytes(value)) for name, value in details.invocation_metadata]
            refusal = self._guard.refusal(details.method, metadata)
            if refusal is not None:
                return _refusing(details.method, *refusal, self._refused)
        handler = self._handlers.get(details.method)
        if handler is None and self._refused is not None:  # gRPC itself would tell nobody
            return _refusing(details.method, Status.UNIMPLEMENTED, "Method not found!", self._refused)
        return handler


class _UnaryCall:
    """A `UnaryCall`."""

    __slots__ = ("_context", "_read_metadata", "answer", "on_gone")

    access = None

    def __init__(self, context: Any, read_metadata: Callable[[Metadata], Asked]) -> None:
        self._context = context
        self._read_metadata = read_metadata
        self.on_gone: Callable[[], object] | None = None
        self.answer: asyncio.Future[Parts | ServerError] = asyncio.get_running_loop().create_future()

    @property
    def asked(self) -> Asked:
        return self._read_metadata(self._context.invocation_metadata())

    @property
    def client(self) -> str:
        return _client(self._context)

    def respond(self, *parts: Message) -> None:
        if not self.answer.done():
            self.answer.set_result(parts)

    def fail(self, error: ServerError) -> None:
        if not self.answer.done():
            self.answer.set_result(error)


class _StreamCall:
    """A `StreamCall`."""

    access = None

    def __init__(self, context: Any, asked: Asked) -> None:
        self._context = context
        self.asked = asked

    @property
    def client(self) -> str:
        return _client(self._context)

    async def read(self) -> bytes | None:
        message = await self._context.read()
        return None if message is grpc.aio.EOF else message

    async def write(self, *parts: Message) -> None:
        await self._context.write(await _joined(parts))


def _unary(begin: Unary, read_metadata: Callable[[Metadata], Asked]) -> Any:
    async def answer(data: bytes, context: Any) -> bytes:
        call = _UnaryCall(context, read_metadata)
        begin_safely(begin, data, call)
        del data  # whoever works on it keeps it for as long as it is needed
        try:
            answer = await call.answer
        except asyncio.CancelledError:
            if call.on_gone is not None:
                call.on_gone()
            raise
        finally:
            call.on_gone = None  # a circle that keeps the message alive
        if isinstance(answer, ServerError):
            await _abort(context, answer)
        return await _joined(answer)  # type: ignore[arg-type]

    return answer


def _streaming(serve: Streaming, read_metadata: Callable[[Metadata], Asked]) -> Any:
    async def run(_: Any, context: Any) -> None:
        error = await serve(_StreamCall(context, read_metadata(context.invocation_metadata())))
        if error is not None:
            await _abort(context, error)

    return run


def _client(context: Any) -> str:
    """What gRPC calls `ipv4:127.0.0.1:4711` or `ipv6:%5B::1%5D:4711`."""
    return unquote(context.peer().partition(":")[2])


def _refusing(path: str, status: Status, details: str, refused: Refused | None) -> Any:
    """As a stream: a message that comes is not waited for."""

    async def refuse(_: Any, context: Any) -> None:
        if refused is not None:
            refused(_client(context), path.encode(), status.name)
        await context.abort(_STATUS[status], details)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


async def _joined(parts: Parts) -> bytes:
    """The one object that grpc.aio takes."""
    if sum(map(len, parts)) <= _QUICK_BYTES:
        return b"".join(parts)
    return await asyncio.get_running_loop().run_in_executor(None, b"".join, parts)


async def _abort(context: Any, error: ServerError) -> None:
    """Always raises, as grpc.aio wants it."""
    code, details = status_and_details(error)
    await context.abort(_STATUS[code], details, RETRY_METADATA if code is Status.UNAVAILABLE else ())
