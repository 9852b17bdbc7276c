"""The metrics port of several workers, which the supervisor serves: one page for all of them."""

import asyncio
import threading
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tcli_server.observability.http import start_metrics
from tcli_server.observability.system import SystemPoller
from tcli_server.observability.system_metrics import SystemCollector
from tcli_server.serving import Endpoint, ServeOptions, bind_errors, security_of


class MetricsPort(Collector):
    """Listens in a thread of its own, from its making to `close`.

    Args:
        families: gives the workers' metrics.

    Attributes:
        port: that it listens on.

    Raises:
        ServerError: the address cannot be had.
    """

    def __init__(self, endpoint: Endpoint, options: ServeOptions, families: Callable[[], list[Metric]]) -> None:
        self._families = families
        self._security = security_of(options)
        self._poller = SystemPoller(options.metrics_interval_ms, options.allow_cpu_metrics, options.allow_gpu_metrics)
        self._system = SystemCollector(self._poller)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="metrics", daemon=True)
        self._thread.start()
        try:
            with bind_errors(endpoint):
                opening = asyncio.run_coroutine_threadsafe(
                    start_metrics(
                        self,
                        endpoint.host,
                        endpoint.port,
                        self._security.metrics_guard,
                        self._security.http_certificates,
                    ),
                    self._loop,
                )
                self._server, self._application = opening.result()
        except BaseException:
            self._end_loop()
            raise
        self._poller.start()
        self._security.start()
        self.port = self._server.port

    def collect(self) -> Iterator[Metric]:
        """The workers' families and the machine's."""
        yield from self._families()
        yield from self._system.collect()

    def close(self) -> None:
        """Answer what was asked, and close."""
        self._poller.stop()
        self._security.stop()
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._end_loop()

    async def _close(self) -> None:
        self._server.drain()
        await self._server.drained(1)
        self._server.close()
        self._application.close()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
