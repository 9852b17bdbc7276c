"""The metrics port: `GET /metrics`, and nothing else."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.registry import Collector

from tcli_server.observability.log import LOG
from tcli_server.observability.metrics import CONTENT_TYPE, exposition
from tcli_server.observability.undisturbed import without_collections
from tcli_server.protocols.http.asker import Asker
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.guard import HttpGuard
from tcli_server.protocols.http.limits import HttpLimits
from tcli_server.protocols.http.server import HttpServer
from tcli_server.protocols.tls import Certificates

_HEADERS = f"Content-Type: {CONTENT_TYPE}\r\n".encode()
_NO_HEADERS = b""
_LIMITS = HttpLimits(max_body_size=1 << 16, max_connections=256)


class MetricsApplication:
    """Answers scrapes; as Triton's, it gives any other path an empty 200."""

    def __init__(self, collector: Collector, loop: asyncio.AbstractEventLoop) -> None:
        self._collector = collector
        self._loop = loop
        # Many models make a long page, which inference must not wait for. One thread, as in Triton.
        self._pool = ThreadPoolExecutor(1, "metrics")

    def __call__(self, exchange: Exchange) -> None:
        if exchange.path.partition(b"?")[0] != b"/metrics":
            exchange.respond(200, b"", _NO_HEADERS)
        elif exchange.method not in (b"GET", b"HEAD"):
            exchange.respond(405, b"", _NO_HEADERS)
        else:
            self._pool.submit(self._scrape, exchange, Asker(exchange))

    def _scrape(self, exchange: Exchange, asker: Asker) -> None:
        if asker.gone:
            return
        try:
            with without_collections():
                status, body = 200, exposition(self._collector.collect())
        except Exception as error:  # the scraper waits for an answer, whatever happens
            LOG.exception("the metrics cannot be shown")
            status, body = 500, f"{type(error).__name__}: {error}\n".encode()
        self._loop.call_soon_threadsafe(exchange.respond, status, body, _HEADERS)

    def close(self) -> None:
        """Let the thread go."""
        self._pool.shutdown(wait=False)


async def start_metrics(
    collector: Collector,
    host: str,
    port: int,
    guard: HttpGuard | None = None,
    certificates: Certificates | None = None,
) -> tuple[HttpServer, MetricsApplication]:
    """Serve metrics in the running loop; port 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    application = MetricsApplication(collector, asyncio.get_running_loop())
    server = HttpServer(application, _LIMITS, guard=guard, certificates=certificates)
    await server.listen(host, port)
    return server, application
