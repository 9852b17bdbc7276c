"""How the slots of an instance become a batch: the direct and the oldest strategy.

Source: `DirectSequenceBatch` and `OldestSequenceBatch` in Triton's core (sequence_batch_scheduler.cc).
"""

from collections.abc import Sequence
from typing import Protocol

from tcli_server.scheduling.batching import BatchRules, plan_batch
from tcli_server.scheduling.sequences.run import Run

Rows = Sequence[Run | None]


class Strategy(Protocol):
    """Chooses who is in the next batch.

    Attributes:
        keeps_rows: a slot is a row of every batch, whether there is a request for it or not.
    """

    keeps_rows: bool

    def plan(self, rows: Rows, now_ns: int, hurry: bool) -> tuple[list[Run | None], int]:
        """The sequences whose next requests make the next batch, in the batch's order.

        Args:
            rows: of an instance that is free.
            hurry: do not wait for more.

        Returns:
            The batch, None for a row that only fills a gap; or nothing, and the nanoseconds that may still be waited, -1
            where nothing is ready.
        """


class Direct:
    """Slots are rows: each sequence keeps its place in every batch, and gaps are filled.

    Args:
        size: slots of an instance.
        utilization: the share of slots worth waiting for.
        max_delay_ns: how long the oldest request may wait for that.
    """

    keeps_rows = True

    def __init__(self, size: int, utilization: float, max_delay_ns: int) -> None:
        self._worth = utilization * size
        self._max_delay_ns = max_delay_ns

    def plan(self, rows: Rows, now_ns: int, hurry: bool) -> tuple[list[Run | None], int]:
        """As `Strategy.plan`. A request of another shape than the first waits for the next batch."""
        ready = [run for run in rows if run is not None and run.ready]
        if not ready:
            return [], -1
        if not hurry and self._max_delay_ns and len(ready) < self._worth:
            left_ns = min(run.requests[0].queue_ns for run in ready) + self._max_delay_ns - now_ns
            if left_ns > 0:
                return [], left_ns
        # Whoever waits longest decides about the shape, lest one sequence keep another waiting for ever.
        key = min(ready, key=lambda run: run.requests[0].queue_ns).key
        highest = max(row for row, run in enumerate(rows) if run is not None and run.ready)
        return [run if run is not None and run.ready and run.key == key else None for run in rows[: highest + 1]], 0


class Oldest:
    """Slots are candidates: the next request of each, as the dynamic batcher would batch them."""

    keeps_rows = False

    def __init__(self, rules: BatchRules) -> None:
        self._rules = rules

    def plan(self, rows: Rows, now_ns: int, hurry: bool) -> tuple[list[Run | None], int]:
        """As `Strategy.plan`."""
        ready = sorted((run for run in rows if run is not None and run.ready), key=lambda run: run.requests[0].queue_ns)
        if not ready:
            return [], -1
        ready = [run for run in ready if run.key == ready[0].key]
        heads = [run.requests[0] for run in ready]
        count, wait_ns = plan_batch(heads, self._rules, self._rules.limit, now_ns, hurry)
        return list(ready[:count]), wait_ns
