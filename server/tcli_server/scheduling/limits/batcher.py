"""The batcher of a model whose instances run only while they hold what they need."""

import time
from collections.abc import Callable, Sequence

from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.answering import AnyExecutor
from tcli_server.scheduling.batcher import Batch, Batcher, reject
from tcli_server.scheduling.batching import BatchRules
from tcli_server.scheduling.limits.permits import Permits
from tcli_server.scheduling.ordering import InOrder
from tcli_server.scheduling.policy import Levels
from tcli_server.scheduling.worker import Worker


class LimitedBatcher(Batcher):
    """A worker that finds a batch due asks for its permit, and forms the batch when it has it, from all that is there then.

    Meanwhile it holds nothing, and requests may be cancelled or expire. Of the idle workers that need the same, one waits
    for a permit, the one with the best score; the others park until it has taken its batch. A worker that needs something
    else waits for its own, and whoever gets a permit first takes the batch. Once nothing is queued, nobody waits for a
    permit. So whenever requests are queued, of each kind of idle workers one is awake or waits.
    """

    def __init__(
        self,
        permits: Permits,
        rules: BatchRules,
        levels: Levels,
        instances: Sequence[PlacedInstance],
        executor: Callable[[PlacedInstance], AnyExecutor],
        order: InOrder | None = None,
    ) -> None:
        self._permits = permits
        self._asking: dict[Worker, bool] = {}  # those in line for a permit, and whether they wait to be woken
        super().__init__(rules, levels, instances, executor, order)

    def resize(self, instances: Sequence[PlacedInstance]) -> None:
        """As `Scheduler.resize`."""
        fresh = self._permits.join(instances)
        try:
            super().resize(instances)
        except BaseException:
            self._permits.abandon(fresh)
            raise

    def take(self, worker: Worker) -> tuple[int, Batch] | None:
        """As `Batcher.take`; the worker holds its permit until it has run the batch."""
        permit = self._permits[worker]
        while True:
            if not worker.fit and self._gives_way(worker):
                continue
            taken: tuple[int, Batch] | None = None
            with self._lock:
                self._asking.pop(worker, None)
                now_ns = time.monotonic_ns()
                expired = self._queue.expire(now_ns) if self._watch is not None else ()
                over = worker.retired or (self._stopped and not self._queue)
                count, wait_ns = (0, -1) if over else self._plan(now_ns, worker)
                if count:
                    taken = self._take_or_ask(worker, now_ns)
                    wait_ns = -1
                else:
                    permit.give_up()
                    if not over and (wait_ns < 0 or self._leader is not None):
                        self._parked.append(worker)
                        wait_ns = -1
                    elif not over:
                        self._leader = worker
            reject(expired)
            if over:
                self._permits.leave(worker)
            if over or taken is not None:
                return taken
            self._wait(worker, wait_ns)

    def _gives_way(self, worker: Worker) -> bool:
        with self._lock:
            self._asking.pop(worker, None)
            self._permits[worker].give_up()
        return self._rests(worker)

    def _take_or_ask(self, worker: Worker, now_ns: int) -> tuple[int, Batch] | None:
        """The batch that is due, if the worker may run it now; else it waits to be woken."""
        permit = self._permits[worker]
        if self._is_asked_for(worker):
            permit.give_up()
            self._parked.append(worker)
            return None
        if permit.ask(worker.parking.leave):
            blocked = [other for other in self._workers if not other.retired and not self._permits[other].free()]
            count, _ = self._plan(now_ns, worker, len(blocked))
            return self._pop(count)
        self._asking[worker] = True
        self._wake_one()  # a worker that needs something else may have it
        return None

    def _ran(self, worker: Worker) -> None:
        super()._ran(worker)
        with self._lock:
            now_ns = time.monotonic_ns()
            may = worker.fit and not worker.retired and not self._is_asked_for(worker)
            again = may and self._plan(now_ns, worker)[0] > 0
            if self._permits[worker].release(again):
                self._asking[worker] = False

    # --- with the lock held ---

    def _is_asked_for(self, worker: Worker) -> bool:
        """Whether another worker, which needs the same, is in line already."""
        needs = self._permits[worker].needs
        return any(self._permits[other].needs == needs for other in self._asking)

    def _pop(self, count: int) -> tuple[int, Batch]:
        taken = super()._pop(count)
        self._recall_if_empty()
        return taken

    def _removed(self) -> None:
        super()._removed()
        self._recall_if_empty()

    def _recall_if_empty(self) -> None:
        """Nobody need ask for anything once nothing is queued, and at the end everybody may go."""
        if self._queue:
            return
        if self._stopped:
            self._wake_all()
        else:
            self._recall()

    def _recall(self) -> None:
        for worker, waits in self._asking.items():
            if self._permits[worker].withdraw() and waits:  # else it has the permit, and is awake or about to be
                worker.parking.leave()
        self._asking.clear()

    def _wake_one(self) -> None:
        """Wake the leader, or of the workers that may be of use the one with the best score."""
        if self._leader is not None or not self._parked:
            super()._wake_one()
            return
        asked = [self._permits[worker].needs for worker in self._asking]
        useful = [worker for worker in self._parked if self._permits[worker].needs not in asked]
        if useful:
            best = min(useful, key=lambda worker: self._permits[worker].score)
            self._parked.remove(best)
            best.parking.leave()

    def _wake_all(self) -> None:
        self._recall()
        super()._wake_all()
