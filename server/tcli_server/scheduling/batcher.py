"""The queue in front of a model's instances, and how requests in it become batches.

One class serves Triton's default scheduler (every request runs alone) and its dynamic batcher: idle instances pull,
so a batch is formed at the last moment, from all that has arrived until then.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable

from tcli_server.errors import UnavailableError
from tcli_server.request import InferenceRequest


class SchedulerStoppedError(UnavailableError):
    """The model is being unloaded or the server is going down."""

    def __init__(self) -> None:
        super().__init__("Server is stopping, scheduler for model has stopped accepting new inference requests")


class Batcher:
    """A queue of requests that gives out batches (rules: Triton's `DynamicBatchScheduler`).

    Args:
        max_batch_size: inferences that may share an execution; 1 runs every request alone.
        preferred: batch sizes worth waiting for, each in 1..max_batch_size; empty means `max_batch_size`.
        max_delay_ns: how long the oldest request may wait for a preferred size, nanoseconds.
        sharers: instances that divide the processor among them; those that are free share what is queued evenly, where
            no delay says otherwise. One that took everything would leave the others' cores idle.
    """

    def __init__(
        self, max_batch_size: int, preferred: Iterable[int] = (), max_delay_ns: int = 0, sharers: int = 1
    ) -> None:
        self._limit = max(1, max_batch_size)
        self._preferred = frozenset(preferred) or frozenset((self._limit,))
        self._largest_preferred = max(self._preferred)
        self._max_delay_ns = max_delay_ns
        self._queue: deque[InferenceRequest] = deque()
        self._queued_inferences = 0
        self._changed = threading.Condition(threading.Lock())
        self._idle = 0
        self._delaying = 0
        self._stopped = False
        self._taken = 0
        self._sharers = sharers
        self._busy = 0

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""
        return len(self._queue)

    def put(self, request: InferenceRequest) -> None:
        """Queue a request.

        Raises:
            SchedulerStoppedError: after `stop`.
        """
        with self._changed:
            if self._stopped:
                raise SchedulerStoppedError
            request.queue_ns = time.monotonic_ns()
            self._queue.append(request)
            self._queued_inferences += request.batch_size
            # A worker that waits for a fuller batch need not look at each arrival, only at those that can complete one.
            if self._idle or (self._delaying and self._may_complete_batch(request)):
                self._changed.notify()

    def _may_complete_batch(self, request: InferenceRequest) -> bool:
        return (
            self._queued_inferences in self._preferred
            or self._queued_inferences >= self._largest_preferred
            or self._queue[0].shape_key != request.shape_key
        )

    def take(self) -> tuple[int, list[InferenceRequest]] | None:
        """Wait for the next batch; called by instances.

        Returns:
            The batch's number, counting from 0 in the order in which requests arrived, and its requests. None once the
            batcher is stopped and every queued request was given out.
        """
        with self._changed:
            while True:
                if not self._queue:
                    if self._stopped:
                        return None
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                    continue
                count, wait_ns = self._plan()
                if count:
                    return self._pop(count)
                self._delaying += 1
                self._changed.wait(wait_ns / 1e9)
                self._delaying -= 1

    def _plan(self) -> tuple[int, int]:
        """How many queued requests to run now, or 0 and the nanoseconds that may still be waited."""
        size, best, count = 0, 0, 0
        limited = False
        limit = self._limit if self._max_delay_ns else self._fair_share()
        shape_key = self._queue[0].shape_key
        for request in self._queue:
            grown = size + request.batch_size
            if count and (grown > limit or request.shape_key != shape_key):
                limited = True
                break
            if count and not best and grown > self._largest_preferred:
                best = count
            size, count = grown, count + 1
            if size in self._preferred:
                best = count
            if size >= limit:
                limited = True
                break
        if not self._max_delay_ns:
            return count, 0
        left_ns = self._queue[0].queue_ns + self._max_delay_ns - time.monotonic_ns()
        if best and left_ns > 0:
            return best, 0
        if limited or size >= self._largest_preferred or left_ns <= 0 or self._stopped:
            return count, 0
        return 0, left_ns

    def _fair_share(self) -> int:
        free = self._sharers - self._busy
        return min(self._limit, -(-self._queued_inferences // free)) if free > 1 else self._limit

    def _pop(self, count: int) -> tuple[int, list[InferenceRequest]]:
        batch = [self._queue.popleft() for _ in range(count)]
        for request in batch:
            self._queued_inferences -= request.batch_size
        number = self._taken
        self._taken += 1
        self._busy += 1
        if self._queue and self._idle:
            self._changed.notify()
        return number, batch

    def finished(self) -> None:
        """Say that a batch has run, so that its instance counts as free; called before its responses are sent."""
        if self._sharers > 1:
            with self._changed:
                self._busy -= 1

    def stop(self) -> None:
        """Refuse new requests; those that are queued still run."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
