"""A listening port whose connections speak TLS."""

import asyncio
import socket
from collections.abc import Callable

from tcli_server.hardware.descriptors import usable_descriptors
from tcli_server.observability.log import LOG
from tcli_server.protocols.listening import BACKLOG
from tcli_server.protocols.tls import Certificates

_MOST = 512
_DESCRIPTOR_SHARE = 8
_SHUTDOWN_SECS = 5.0
"""How long a client may take to say goodbye before its connection is cut off."""

_PAUSE_SECS = 0.1
"""Until the next try where there is no descriptor for a connection."""

Connect = Callable[[], asyncio.BaseProtocol]


class TlsServer:
    """Accepts connections, each with the certificates of that moment; a `Listening`.

    Not `create_server(ssl=...)`: that keeps one context for ever, and any number of clients in the middle of their handshakes. Here
    at most 512 are: then the oldest has to go for a new one, as an honest one takes milliseconds.

    Args:
        sockets: bound ones.
        connect: makes the protocol of a connection whose handshake is over.
        timeout_secs: how long a handshake may take.
    """

    def __init__(
        self, sockets: list[socket.socket], certificates: Certificates, connect: Connect, timeout_secs: float
    ) -> None:
        self.sockets = sockets
        self._certificates = certificates
        self._connect = connect
        self._timeout_secs = timeout_secs
        self._most = max(1, min(_MOST, usable_descriptors() // _DESCRIPTOR_SHARE))
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._accepting = [asyncio.get_running_loop().create_task(self._accept(one)) for one in sockets]

    def close(self) -> None:
        """Accept no more connections."""
        for task in self._accepting:
            task.cancel()
        for listening in self.sockets:
            listening.close()
        self.sockets = []

    def abort(self) -> None:
        """Give up the handshakes that are under way."""
        for task in list(self._handshakes):
            task.cancel()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                LOG.debug("cannot accept a connection: %s", error)
                await asyncio.sleep(_PAUSE_SECS)
                continue
            if len(self._handshakes) >= self._most:
                oldest = next(iter(self._handshakes))
                del self._handshakes[oldest]
                oldest.cancel()
            task = loop.create_task(self._shake(accepted))
            self._handshakes[task] = None
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _shake(self, accepted: socket.socket) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connect,
                accepted,
                ssl=self._certificates.context,
                ssl_handshake_timeout=self._timeout_secs,
                ssl_shutdown_timeout=_SHUTDOWN_SECS,
            )
        except (OSError, asyncio.CancelledError) as error:  # not TLS, too slow, no certificate, gone
            LOG.debug("a TLS handshake failed: %s", error)
            accepted.close()
        except Exception:  # a defect, which must not cost more than this connection
            LOG.exception("a TLS handshake failed")
            accepted.close()


async def listen_with_tls(
    certificates: Certificates, connect: Connect, host: str, port: int, reuse_port: bool, timeout_secs: float
) -> TlsServer:
    """Bind and accept connections; port 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    # It knows which sockets an address means on this system.
    server = await loop.create_server(connect, host, port, reuse_port=reuse_port or None, start_serving=False)
    try:
        sockets = [bound.dup() for bound in server.sockets]
    finally:
        server.close()
    for one in sockets:
        one.setblocking(False)
        one.listen(BACKLOG)
    return TlsServer(sockets, certificates, connect, timeout_secs)
