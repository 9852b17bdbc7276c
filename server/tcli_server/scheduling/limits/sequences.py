"""The sequence batcher of a model whose instances run only while they hold what they need."""

import time
from collections.abc import Callable, Sequence

from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.answering import AnyExecutor
from tcli_server.scheduling.limits.permits import Permits
from tcli_server.scheduling.sequences.batcher import Batch, SequenceBatcher, cancel
from tcli_server.scheduling.sequences.controls import Controls
from tcli_server.scheduling.sequences.forming import Strategy
from tcli_server.scheduling.sequences.iterations import Iterations
from tcli_server.scheduling.sequences.run import Run
from tcli_server.scheduling.sequences.seat import Seat
from tcli_server.scheduling.sequences.states import States
from tcli_server.scheduling.worker import Worker


class LimitedSequenceBatcher(SequenceBatcher):
    """As `LimitedBatcher`: asks for a permit when a batch is due and forms it then. Sequences stay with their instance, so
    each instance asks for itself, and no longer than one of its sequences has a request.
    """

    def __init__(
        self,
        permits: Permits,
        model: str,
        size: int,
        idle_ns: int,
        strategy: Strategy,
        controls: Controls,
        states: States,
        instances: Sequence[PlacedInstance],
        executor: Callable[[PlacedInstance], AnyExecutor],
        iterations: Iterations | None = None,
    ) -> None:
        self._permits = permits
        self._asking: dict[Seat, bool] = {}  # those in line for a permit, and whether they wait to be woken
        super().__init__(model, size, idle_ns, strategy, controls, states, instances, executor, iterations)

    def _rests(self, seat: Seat) -> bool:
        with self._lock:  # an instance that cannot run must not keep others from it
            self._asking.pop(seat, None)
            self._permits[seat.worker].give_up()
        return super()._rests(seat)

    def resize(self, instances: Sequence[PlacedInstance]) -> None:
        """As `Scheduler.resize`."""
        fresh = self._permits.join(instances)
        try:
            super().resize(instances)
        except BaseException:
            self._permits.abandon(fresh)
            raise

    def _take(self, worker: Worker) -> tuple[int, Batch] | None:
        """As `Batcher.take`; the worker holds its permit until it has run the batch."""
        seat = next(seat for seat in self._seats if seat.worker is worker)
        permit = self._permits[worker]
        while True:
            if worker.generation and self._rests(seat):
                continue
            gone: Batch = []
            batch: Batch = []
            with self._lock:
                self._asking.pop(seat, None)
                runs, wait_ns = self._strategy.plan(seat.rows, time.monotonic_ns(), self._stopped)
                admitted = bool(runs) and permit.ask(worker.parking.leave)
                if admitted:
                    batch = self._batch(runs, gone)
                number = self._taken
                if batch:
                    self._taken += 1
                    self._running += 1
                elif runs and not admitted:
                    self._asking[seat] = True
                else:
                    permit.give_up()
                    if not runs:
                        over = seat.empty and (worker.retired or (self._stopped and not self._backlog))
                        seat.parked = not over
            cancel(gone)
            if batch:
                return number, batch
            if not runs and over:
                self._permits.leave(worker)
                return None
            if not runs:
                self._wait(seat, wait_ns)
            elif not admitted:
                worker.parking.wait()

    def _ran(self, worker: Worker) -> None:
        super()._ran(worker)
        seat = next(seat for seat in self._seats if seat.worker is worker)
        with self._lock:
            runs, _ = self._strategy.plan(seat.rows, time.monotonic_ns(), self._stopped)
            if self._permits[worker].release(again=bool(runs)):
                self._asking[seat] = False

    def _end(self, run: Run) -> Batch:
        seat = run.seat
        waiting = super()._end(run)
        if seat in self._asking and not any(other is not None and other.ready for other in seat.rows):
            waits = self._asking.pop(seat)
            if self._permits[seat.worker].withdraw() and waits:  # else it has the permit, and is awake or about to be
                seat.worker.parking.leave()
        return waiting
