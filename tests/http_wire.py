"""HTTP at the level of sockets, and a server whose handler a test writes itself."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.http.exchange import Exchange, Handler
from tcli_server.protocols.http.limits import HttpLimits
from tcli_server.protocols.http.server import HttpServer
from tcli_server.serving import _new_event_loop

PATIENCE = 60
"""Seconds after which a test gives up: far more than anything here takes on a slow machine."""


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A client's socket that reads one response after the other."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self._data = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of it, or as much as the server takes before it hangs up."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def half_close(self) -> None:
        with contextlib.suppress(OSError):  # the server may have been first
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Leave as a program does that ends: the server gets an end of input, as from one that only half-closes."""
        self.socket.close()

    def reset(self) -> None:
        """Leave without a goodbye: the server gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def read(self, head: bool = False) -> Response:
        """The next response behind all that are only interim; `head` for one to a HEAD request, which has no body."""
        while b"\r\n\r\n" not in self._data:
            self._more()
        lines, _, self._data = self._data.partition(b"\r\n\r\n")
        status, *rest = lines.decode().split("\r\n")
        if status.split()[1] == "100":
            return self.read(head)
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        length = 0 if head else int(headers.get("content-length", 0))
        while len(self._data) < length:
            self._more()
        body, self._data = self._data[:length], self._data[length:]
        return Response(int(status.split()[1]), headers, body)

    def read_interim(self) -> bytes:
        """One response without headers, as 100 Continue."""
        while b"\r\n\r\n" not in self._data:
            self._more()
        line, _, self._data = self._data.partition(b"\r\n\r\n")
        return line

    def read_all(self) -> list[Response]:
        """Every response until the server closes."""
        responses = []
        while self._data or not self.closed():
            responses.append(self.read())
        return responses

    def rest(self) -> bytes:
        """Everything until the server closes."""
        data = b""
        while not self.closed():
            data += self._data
            self._data = b""
        return data

    def closed(self) -> bool:
        """Wait for what the server does next: True if it closes, False if it sends something."""
        if self._data:
            return False
        try:
            self._data = self.socket.recv(65536)
        except ConnectionError:
            return True
        return not self._data

    def silent(self, seconds: float) -> bool:
        """Whether the server neither sends nor closes within this time."""
        if self._data:
            return False
        self.socket.settimeout(seconds)
        try:
            self._data = self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def _more(self) -> None:
        received = self.socket.recv(1 << 20)
        assert received, f"the server hung up after {self._data[:300]!r}"
        self._data += received


def get(path: str = "/", headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


def post(body: bytes, path: str = "/", headers: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def chunked(*parts: bytes, path: str = "/", trailers: bytes = b"") -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + chunks + b"0\r\n" + trailers + b"\r\n"


@dataclass
class Running:
    """A server in a thread's event loop."""

    server: HttpServer
    loop: asyncio.AbstractEventLoop
    budget: ByteBudget
    port: int = 0

    def call(self, work: Callable[[], object]) -> None:
        """Run something in the loop, and wait for it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(PATIENCE)

    def connect(self) -> Wire:
        return Wire(self.port)

    def connections(self) -> int:
        """How many are open now."""
        counts: list[int] = []
        self.call(lambda: counts.append(len(self.server._shared.connections)))
        return counts[0]


@contextlib.contextmanager
def serving(handler: Handler, limits: HttpLimits | None = None, budget: int | None = 1 << 40) -> Iterator[Running]:
    """The real HTTP server over a handler of one's own; None for the budget that it takes by itself."""
    loop = _new_event_loop()
    server = HttpServer(handler, limits, None if budget is None else ByteBudget(budget))
    running = Running(server, loop, server._budget)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(running.server.listen("127.0.0.1", 0), loop).result(PATIENCE)
    running.port = running.server.port
    try:
        yield running
    finally:
        running.call(running.server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


@dataclass
class Echo:
    """Answers with what came: the method, the path, the body's size; keeps what it was asked."""

    exchanges: list[Exchange] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.bodies.append(exchange.body)
        exchange.respond(200, b"%s %s %d" % (exchange.method, exchange.path, len(exchange.body)))


@dataclass
class Hold:
    """Answers requests for /hold when the test says so, all others at once."""

    held: list[Exchange] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gone: list[tuple[bytes, bool]] = field(default_factory=list)
    told: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, exchange: Exchange) -> None:
        if not exchange.path.startswith(b"/hold"):
            exchange.respond(200, exchange.path)
            return

        def on_gone(lost: bool) -> None:
            self.gone.append((exchange.path, lost))
            self.told.release()

        exchange.on_gone = on_gone
        self.held.append(exchange)
        self.arrived.release()

    def wait(self) -> None:
        """Until another request is held."""
        assert self.arrived.acquire(timeout=PATIENCE)

    def wait_gone(self) -> tuple[bytes, bool]:
        """Until a client is gone: its path, and whether the connection is lost."""
        assert self.told.acquire(timeout=PATIENCE)
        return self.gone[-1]

    def answer(self, running: Running) -> None:
        """Answer the oldest that is held."""
        running.call(lambda: self.held.pop(0).respond(200, b"held"))
