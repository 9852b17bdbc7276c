"""Listens for HTTP connections."""

import asyncio
from functools import partial

from tcli_server.engine import Engine
from tcli_server.protocols.http.application import HttpApplication
from tcli_server.protocols.http.connection import Connection, Handler

DEFAULT_MAX_INPUT_SIZE = 64 << 20


class HttpServer:
    """Open listeners and the connections made through them."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def listen(self, host: str, port: int) -> None:
        """Bind and accept connections; port 0 takes a free one, which `port` then tells.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            partial(Connection, self._handler, self._connections), host, port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        """Accept no more connections and close those on which nothing is being answered."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.shut_down()

    async def drained(self, timeout: float) -> bool:
        """Wait until every connection is answered and closed; True if that happened within `timeout` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self._connections:
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def abort(self) -> None:
        """Close everything at once."""
        for connection in list(self._connections):
            connection.abort()


async def start_http(
    engine: Engine, host: str, port: int, max_input_size: int = DEFAULT_MAX_INPUT_SIZE
) -> tuple[HttpServer, HttpApplication]:
    """Serve an engine over HTTP in the running loop.

    Raises:
        OSError: the address cannot be bound.
    """
    application = HttpApplication(engine, asyncio.get_running_loop(), max_input_size)
    server = HttpServer(application)
    await server.listen(host, port)
    return server, application
