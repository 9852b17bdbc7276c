"""Many requests over HTTP at little cost: a pool of connections, each with one request at a time."""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping

import numpy as np

from tcli_analyzer.remote.connections import most_connections
from tcli_analyzer.remote.http_connection import HttpConnection, Job
from tcli_analyzer.remote.http_request import HttpRequests
from tcli_analyzer.target import OnReply, SequenceMark
from tcli_client import Address, Credentials
from tcli_server.errors import UnavailableError

CONNECT_SECONDS = 5.0
_SWEEP_SECONDS = 0.5


class HttpSender:
    """As `Sender`.

    A connection that the server closes between two answers is replaced, and what was sent into it just then is sent once
    more, as HTTP clients do. A new connection without an answer is an error.

    Args:
        timeout: seconds to wait for each answer.
        connections: at most so many at once, requests beyond them wait for one; None for as many as this process may open.
    """

    def __init__(
        self,
        address: Address,
        requests: HttpRequests,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        connections: int | None = None,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.loop = loop
        self.arriving = memoryview(bytearray(1 << 18))  # of all connections: nothing stays in it
        self._requests = requests
        self._most = connections or most_connections()
        self._tls = Credentials.of_environment().ssl_context() if address.tls else None
        self._idle: list[HttpConnection] = []
        self._all: set[HttpConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[Job] = deque()
        self._closed = False
        self._sweeping = loop.create_task(self._sweep())

    def prepare(self, inputs: Mapping[str, np.ndarray], sequence: SequenceMark | None = None) -> bytes:
        return self._requests.make(inputs, sequence)

    def send(self, request: bytes, reply: OnReply) -> None:
        self._place(Job(request, reply))

    async def close(self) -> None:
        self._closed = True
        self._sweeping.cancel()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(self._sweeping, *self._opening, return_exceptions=True)
        for connection in list(self._all):
            connection.end(UnavailableError("the load was ended before this request was answered"))
        while self._waiting:
            self._waiting.popleft().reply(UnavailableError("the load was ended before this request was sent"))

    def freed(self, connection: HttpConnection) -> None:
        """It has answered and can be used again."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def gone(self, connection: HttpConnection) -> None:
        """It is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting and not self._closed:
            self._place(self._waiting.popleft())

    def again(self, job: Job) -> None:
        """The server closed the connection just when this was sent."""
        if self._closed:
            job.reply(UnavailableError("the load was ended before this request was answered"))
        else:
            self._open(job)

    def _place(self, job: Job) -> None:
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                connection.send(job)
                return
        if len(self._all) + len(self._opening) < self._most:
            self._open(job)
        else:
            self._waiting.append(job)

    def _open(self, job: Job) -> None:
        task = self.loop.create_task(self._connect(job))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, job: Job) -> None:
        address = self.address
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, self.timeout)):
                _, connection = await self.loop.create_connection(
                    lambda: HttpConnection(self), address.host, address.port, ssl=self._tls
                )
        except TimeoutError:
            job.reply(UnavailableError(f"no server answers at {address} (timed out)"))
        except (OSError, ssl.SSLError) as problem:
            job.reply(UnavailableError(f"no server answers at {address} ({_reason(problem)})"))
        except asyncio.CancelledError:
            job.reply(UnavailableError("the load was ended before this request was sent"))
            raise
        else:
            self._all.add(connection)
            connection.send(job)

    async def _sweep(self) -> None:
        """End what takes too long. One timer for all: a timer for each request would cost each of them."""
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self.timeout / 4))
            latest = self.loop.time() - self.timeout
            for connection in [c for c in self._all if c.since < latest]:
                connection.end(UnavailableError(f"{self.address} did not answer within {self.timeout:g} s"))


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
