"""Listens for HTTP connections."""

import asyncio
import time
from functools import partial

from tcli_server.engine import Engine
from tcli_server.hardware.allocator import trim_heap
from tcli_server.hardware.memory import usable_memory
from tcli_server.observability.access_log import AccessLog
from tcli_server.observability.log import LOG
from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.http.application import HttpApplication
from tcli_server.protocols.http.clouds import Cloud, CloudApplication, CloudRoutes
from tcli_server.protocols.http.connection import Connection
from tcli_server.protocols.http.exchange import Handler
from tcli_server.protocols.http.guard import HttpGuard
from tcli_server.protocols.http.limits import HttpLimits
from tcli_server.protocols.http.options import HttpOptions
from tcli_server.protocols.http.shared import Shared
from tcli_server.protocols.listening import BACKLOG, Listening, close_when_empty
from tcli_server.protocols.shared_memory import NO_SHARED_MEMORY, SystemSharedMemory
from tcli_server.protocols.tls import Certificates
from tcli_server.protocols.tls_server import TlsServer, listen_with_tls

_EXITING = (503, "Server exiting")
_TRIM_AFTER_BYTES = 64 << 20
_TRIM_SECS = 10.0
_HANDSHAKE_SECS = 20.0
"""How long a new connection may take to speak TLS, unless `head_timeout_secs` is shorter."""

_LEAVE_SECS = 2.0
"""How long a client that keeps a connection may take to ask again and be told that it closes: closed before, a request that is
on its way would be lost."""


class HttpServer:
    """Open listeners and the connections made through them.

    Args:
        budget: bytes of request bodies that all connections hold together, by default a quarter of the memory that this
            process may use.
        access: notes all requests; None where nobody does.
        guard: who may ask what; None where everybody may ask everything.
        certificates: for TLS; None for connections that anybody on the way can read.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits | None = None,
        budget: ByteBudget | None = None,
        access: AccessLog | None = None,
        guard: HttpGuard | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        limits = limits or HttpLimits()
        self._budget = budget or ByteBudget(usable_memory() // 4)
        self._shared = Shared(handler, limits, self._budget, limits.connections(), access, guard)
        self._certificates = certificates
        self._server: Listening | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._trimmed_at = time.monotonic()
        self._trimmed_bytes = 0
        self.port = 0

    async def listen(self, host: str, port: int, reuse_port: bool = False) -> None:
        """Bind and accept connections; port 0 takes a free one, which `port` then tells.

        Args:
            reuse_port: other processes listen on it, too.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        connect = partial(Connection, self._shared)
        if self._certificates is not None:
            secs = min(_HANDSHAKE_SECS, self._shared.limits.head_timeout_secs)
            self._server = await listen_with_tls(self._certificates, connect, host, port, reuse_port, secs)
        else:
            # None where it is not wanted: where sockets have no such option, even False is an error.
            self._server = await loop.create_server(connect, host, port, backlog=BACKLOG, reuse_port=reuse_port or None)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweep = loop.call_later(self._shared.limits.sweep_secs(), self._check, loop)

    async def leave(self, timeout: float) -> bool:
        """Accept no more connections, close each with its next answer, and the idle ones after a moment.

        Args:
            timeout: seconds after which the others are closed, too.

        Returns:
            True if all that was asked is answered.
        """
        began = time.monotonic()
        connections = self._shared.connections
        self._shared.leaving = True
        if self._server is not None:
            await close_when_empty(self._server)
        for connection in connections:
            connection.leave()
        while connections and time.monotonic() - began < timeout:
            if time.monotonic() - began > _LEAVE_SECS:
                for connection in list(connections):
                    connection.close_if_idle()
            await asyncio.sleep(0.01)
        answered = all(connection.drained for connection in connections)
        self.abort()
        return answered

    def drain(self) -> None:
        """Answer what was asked until now and refuse the rest with 503, also on connections that are still to come."""
        self._shared.turned_away = _EXITING
        for connection in list(self._shared.connections):
            connection.drain(*_EXITING)

    async def drained(self, timeout: float) -> bool:
        """Wait until everything that was asked is answered; True if that happened within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not all(connection.drained for connection in self._shared.connections):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def abort(self) -> None:
        """Close every connection at once."""
        for connection in list(self._shared.connections):
            connection.abort()
        if isinstance(self._server, TlsServer):
            self._server.abort()

    def close(self) -> None:
        """Accept no more connections, and close those there are."""
        if self._server is not None:
            self._server.close()
        if self._sweep is not None:
            self._sweep.cancel()
        self.abort()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """One look at all connections instead of timers for each request."""
        now = time.monotonic()
        self._sweep = loop.call_later(self._shared.limits.sweep_secs(), self._check, loop)
        for connection in list(self._shared.connections):
            try:
                connection.check(now)
            except Exception:  # a defect, for which the other connections must not wait for ever
                LOG.exception("cannot check an HTTP connection")
        if self._budget.freed - self._trimmed_bytes > _TRIM_AFTER_BYTES and now - self._trimmed_at > _TRIM_SECS:
            self._trimmed_at, self._trimmed_bytes = now, self._budget.freed
            loop.run_in_executor(None, trim_heap)  # takes milliseconds, without the interpreter's lock


async def start_http(
    engine: Engine,
    host: str,
    port: int,
    options: HttpOptions,
    limits: HttpLimits,
    *,
    reuse_port: bool = False,
    shared: SystemSharedMemory = NO_SHARED_MEMORY,
    cloud: tuple[Cloud, CloudRoutes] | None = None,
    metrics: Handler | None = None,
    access: AccessLog | None = None,
    guard: HttpGuard | None = None,
    certificates: Certificates | None = None,
) -> tuple[HttpServer, HttpApplication]:
    """Serve an engine over HTTP in the running loop.

    Args:
        reuse_port: other processes listen on it, too.
        shared: the memory that clients share with this server.
        cloud: whose endpoints are served instead of those of the V2 protocol, and what they mean.
        metrics: answers `/metrics` for a cloud.
        access: notes all requests; None where nobody does.
        guard: who may ask what; None where everybody may ask everything.
        certificates: for TLS; None for connections that anybody on the way can read.

    Raises:
        OSError: the address cannot be bound.
        InvalidArgumentError: a pattern is none.
    """
    application = HttpApplication(engine, asyncio.get_running_loop(), options, shared)
    # A method: an object that can be called is called several times as slowly.
    handler = application.answer if cloud is None else CloudApplication(*cloud, application, metrics).answer
    server = HttpServer(handler, limits, access=access, guard=guard, certificates=certificates)
    await server.listen(host, port, reuse_port)
    return server, application
