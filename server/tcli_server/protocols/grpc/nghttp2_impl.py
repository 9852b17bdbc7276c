"""gRPC on libnghttp2: several times as many calls a second as grpc.aio."""

import asyncio
import time
from functools import partial

from tcli_server.hardware.memory import usable_memory
from tcli_server.observability.log import LOG
from tcli_server.protocols.grpc.guard import GrpcGuard
from tcli_server.protocols.grpc.http2.connection import Connection
from tcli_server.protocols.grpc.http2.shared import Shared
from tcli_server.protocols.grpc.options import HANDSHAKE_SECS, GrpcOptions
from tcli_server.protocols.grpc.rpc import Rpcs
from tcli_server.protocols.listening import BACKLOG, Listening, close_when_empty
from tcli_server.protocols.tls import Certificates
from tcli_server.protocols.tls_server import TlsServer, listen_with_tls

_SWEEP_SECS = 1.0
_LOOK_SECS = 0.01
_PORTION = 4
"""Of the memory, one part may be held by messages that are not answered yet."""


class Nghttp2Listener:
    """An open port and the connections made to it; a `Listener`."""

    def __init__(self, server: Listening, shared: Shared) -> None:
        self._server = server
        self._shared = shared
        self._sweep = shared.loop.call_later(_SWEEP_SECS, self._check)
        self.port: int = server.sockets[0].getsockname()[1]

    async def abort(self) -> None:
        """Cut off every call."""
        for connection in list(self._shared.connections):
            connection.abort()
        if isinstance(self._server, TlsServer):
            self._server.abort()

    async def close(self, timeout: float) -> bool:
        """Close the port, and connections as soon as the answers are sent, at most `timeout` seconds from now."""
        deadline = time.monotonic() + timeout
        self._shared.draining = True
        await close_when_empty(self._server)
        for connection in list(self._shared.connections):
            connection.drain()
        while self._shared.connections and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECS)
        sent = not any(connection.is_busy for connection in self._shared.connections)
        self._sweep.cancel()
        await self.abort()
        self._shared.pool.shutdown(wait=False, cancel_futures=True)
        return sent

    def _check(self) -> None:
        """One look at all connections instead of timers for each."""
        now = time.monotonic()
        self._sweep = self._shared.loop.call_later(_SWEEP_SECS, self._check)
        for connection in list(self._shared.connections):
            try:
                connection.check(now)
            except Exception:  # a defect, for which the other connections must not wait for ever
                LOG.exception("cannot check a gRPC connection")
        self._make_room()

    def _make_room(self) -> None:
        """Close the connections with the most calls, while all together have more open than there is memory for: one client can keep
        any number of calls open without sending anything."""
        most = self._shared.most_open
        open_calls = sum(connection.open_calls for connection in self._shared.connections)
        if open_calls <= most:
            return
        for connection in sorted(self._shared.connections, key=lambda one: one.open_calls, reverse=True):
            LOG.warning(
                "gRPC: %d calls are open, for which there is memory for %d: the connection of %s, which has %d of them, is closed",
                *(open_calls, most, connection.client, connection.open_calls),
            )
            open_calls -= connection.open_calls
            connection.calm(b"too_many_open_calls")
            if open_calls <= most:
                break


async def listen(
    rpcs: Rpcs,
    host: str,
    port: int,
    options: GrpcOptions,
    reuse_port: bool = False,
    guard: GrpcGuard | None = None,
    certificates: Certificates | None = None,
) -> Nghttp2Listener:
    """Serve in the running loop; port 0 takes a free one.

    Args:
        reuse_port: other processes listen on it, too.
        guard: who may call what; None where everybody may call everything.
        certificates: for TLS; None for connections that anybody on the way can read.

    Raises:
        OSError: the address cannot be bound.
    """
    shared = Shared(rpcs, options, usable_memory() // _PORTION, guard)
    connect = partial(Connection, shared)
    server: Listening
    if certificates is not None:
        server = await listen_with_tls(certificates, connect, host, port, reuse_port, HANDSHAKE_SECS)
    else:
        # None where it is not wanted: where sockets have no such option, even False is an error.
        server = await shared.loop.create_server(connect, host, port, backlog=BACKLOG, reuse_port=reuse_port or None)
    return Nghttp2Listener(server, shared)
