"""Asks all workers what they have counted, so that the sums are those of this moment."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from prometheus_client.metrics_core import Metric

from tcli_server.workers.process import WorkerProcess
from tcli_server.workers.totals import Totals

REPORT_SECS = 2.0
"""How long to wait for the report of a worker, whose last one counts if none comes; and the pause between rounds of asking all."""


class Counting:
    """Keeps the totals up to date.

    Args:
        running: gives all workers that there are.
    """

    def __init__(self, totals: Totals, running: Callable[[], Sequence[WorkerProcess]]) -> None:
        self._totals = totals
        self._running = running
        self._pool = ThreadPoolExecutor(2, "statistics")

    def refresh(self, but: WorkerProcess | None = None) -> None:
        """Ask all workers; those that are silent are not waited for.

        Args:
            but: one that has just reported.
        """
        reporters = [worker.reporter for worker in self._running() if worker is not but]
        wait([reporter.fresh() for reporter in reporters if not reporter.overdue(REPORT_SECS)], REPORT_SECS)

    def statistics(self, asking: WorkerProcess) -> "Future[bytes]":
        """A ModelStatisticsResponse of all workers, for one that has just reported."""
        return self._pool.submit(self._statistics, asking)

    def _statistics(self, asking: WorkerProcess) -> bytes:
        self.refresh(asking)
        together: bytes = self._totals.statistics().SerializeToString()
        return together

    def families(self) -> list[Metric]:
        """The metrics of all workers."""
        self.refresh()
        return self._totals.families()

    def close(self) -> None:
        """Answer nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
