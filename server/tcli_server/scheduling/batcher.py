"""The scheduler of models that batch, and of those that do not: idle instances pull what is queued.

A batch is formed at the last moment, from all that has arrived until then. This one class is Triton's default scheduler
(every request runs alone) and its dynamic batcher.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from tcli_server.errors import UnavailableError
from tcli_server.request import FailureReason, InferenceRequest
from tcli_server.scheduling import Later, PlacedInstance
from tcli_server.scheduling.answering import AnyExecutor
from tcli_server.scheduling.batching import BatchRules, plan_batch
from tcli_server.scheduling.deadlines import DeadlineWatch
from tcli_server.scheduling.lanes import LastOut
from tcli_server.scheduling.ordering import InOrder
from tcli_server.scheduling.policy import Levels
from tcli_server.scheduling.queue import QueueFullError, RequestQueue
from tcli_server.scheduling.quickness import MOST_REQUESTS
from tcli_server.scheduling.sharing import Sharing
from tcli_server.scheduling.worker import Worker, is_light

Batch = list[InferenceRequest]

_LONGEST_FAREWELL_SECS = 10.0
"""How long a change of instances waits for those that go: they finish what they run and are closed."""


class Batcher:
    """A queue and the workers that empty it.

    A worker that finds nothing to do parks. One that finds a batch worth waiting for leads: it alone waits, for the end
    of the delay or for the request that completes the batch, and the others park. So whenever requests are queued and a
    worker is free, exactly one worker is awake or leads, and whoever takes a batch while more is queued wakes the next.

    Args:
        executor: makes what runs the batches of one instance.
        order: sends responses in the order of their batches; None where any order will do.
    """

    def __init__(
        self,
        rules: BatchRules,
        levels: Levels,
        instances: Sequence[PlacedInstance],
        executor: Callable[[PlacedInstance], AnyExecutor],
        order: InOrder | None = None,
    ) -> None:
        self._rules = rules
        self._executor = executor
        self._order = order
        self._lock = threading.Lock()
        self._queue = RequestQueue(levels, self._lock, self._removed)
        self._workers: list[Worker] = []
        self._parked: list[Worker] = []
        self._wakers: dict[Later, Callable[[], None]] = {}
        self._leader: Worker | None = None
        self._sharing = Sharing([])
        self._busy = 0
        self._taken = 0
        self._stopped = False
        self._watch = DeadlineWatch(self._expire) if levels.have_timeouts else None
        self.resize(instances)

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """As `Scheduler.idle`."""
        return not self._queue and not self._busy

    @property
    def unused(self) -> bool:
        """As `Scheduler.unused`."""
        return self.idle and not any(worker.owes for worker in self._workers)

    def submit(self, request: InferenceRequest, later: Later | None = None) -> bool:
        """As `Scheduler.submit`."""
        with self._lock:
            if self._stopped:
                return False
            try:
                self._queue.put(request, time.monotonic_ns())
            except QueueFullError:
                full = True
            else:
                full = False
                wake = self._may_complete_batch(request) if self._leader is not None else bool(self._parked)
                if wake and later is None:
                    self._wake_one()
        if full:
            request.fail(UnavailableError("Exceeds maximum queue size"), FailureReason.REJECTED)
            return True
        if wake and later is not None:
            later.call(self._waker(later))
        if self._watch is not None and request.deadline_ns:
            self._watch.notice(request.deadline_ns)
        queue = request.queue
        if request.ended and queue is not None:  # its end, before it had a place in the queue, could not give it back
            queue.release(request)
        return True

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """As `Scheduler.abandon`: there are no sequences here."""

    def resize(self, instances: Sequence[PlacedInstance]) -> None:
        """As `Scheduler.resize`."""
        fresh = [placed for placed in instances if all(worker.placed is not placed for worker in self._workers)]
        workers = [worker for placed in fresh for worker in self._made(placed)]
        self._start(workers)
        with self._lock:
            self._workers = [worker for worker in self._workers if worker.is_alive()] + workers
            for worker in self._workers:
                worker.retired = all(worker.placed is not placed for placed in instances)
            self._sharing = Sharing([worker.placed.placement for worker in self._workers if not worker.retired])
            self._wake_all()
            retired = [worker for worker in self._workers if worker.retired]
        deadline = time.monotonic() + _LONGEST_FAREWELL_SECS
        for worker in retired:  # so that what they held is free when the change is said to be made
            worker.join(max(0.0, deadline - time.monotonic()))

    def _made(self, placed: PlacedInstance) -> list[Worker]:
        """A worker for each lane of a new instance."""
        executors = [self._executor(placed)]
        executors += [self._executor(placed) for _ in range(executors[0].lanes - 1)]
        close = LastOut(placed.instance.close, len(executors))
        return [Worker(placed, executor, self.take, self._ran, self._sender(), close) for executor in executors]

    def _start(self, workers: Sequence[Worker]) -> None:
        """Start all or none.

        Raises:
            UnavailableError: the machine gives no more threads; the workers' instances are closed then.
        """
        for index, worker in enumerate(workers):
            try:
                worker.start()
            except RuntimeError as error:
                for unstarted in workers[index:]:
                    unstarted.close()
                with self._lock:
                    for started in workers[:index]:
                        started.retired = True
                    self._wake_all()
                raise UnavailableError(f"instance '{worker.placed.placement.name}': {error}") from None

    def stop_if_unused(self) -> bool:
        """As `Scheduler.stop_if_unused`."""
        with self._lock:
            if not self.unused:
                return False
            self._stopped = True
            self._wake_all()
            return True

    def stop(self) -> None:
        """As `Scheduler.stop`."""
        with self._lock:
            self._stopped = True
            self._wake_all()

    def join(self, timeout: float | None = None) -> bool:
        """As `Scheduler.join`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for worker in self._workers:
            worker.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        done = not any(worker.is_alive() for worker in self._workers)
        if done and self._watch is not None:
            self._watch.stop()
        return done

    # --- what workers ask ---

    def take(self, worker: Worker) -> tuple[int, Sequence[InferenceRequest]] | None:
        """Wait for the next batch.

        Returns:
            The batch's number, counting from 0 in the order of their taking, and its requests. None once the worker is
            retired, or the scheduler is stopped and everything queued was given out.
        """
        while True:
            begun = worker.begun()
            if begun is not None:
                return begun
            if not worker.fit and self._rests(worker):
                continue
            taken: tuple[int, Batch] | None = None
            with self._lock:
                now_ns = time.monotonic_ns()
                expired = self._queue.expire(now_ns) if self._watch is not None else ()
                wait_ns = 0
                if not worker.retired and not (self._stopped and not self._queue):
                    count, wait_ns = self._plan(now_ns, worker)
                    if count:
                        taken = self._pop(count)
                    elif wait_ns < 0 or self._leader is not None:
                        self._parked.append(worker)
                        wait_ns = -1
                    else:
                        self._leader = worker
            reject(expired)
            if taken is not None or not wait_ns:
                return taken
            self._wait(worker, wait_ns)

    def _rests(self, worker: Worker) -> bool:
        with self._lock:
            if worker.retired or self._stopped:
                return False
            if self._queue:  # somebody woke this worker for it
                self._wake_one()
            workers = self._workers
        return worker.rests(workers)

    def _ran(self, _: Worker) -> None:
        """A batch has run: its instance counts as free, before the responses are sent."""
        with self._lock:
            self._busy -= 1

    def _plan(self, now_ns: int, worker: Worker, blocked: int = 0) -> tuple[int, int]:
        """How many requests to take now; if none, how long to wait for more: nanoseconds, -1 until woken.

        Args:
            blocked: instances that run nothing and cannot either.
        """
        if not self._queue:
            return 0, -1
        rules = self._rules
        if rules.max_delay_ns:
            return plan_batch(self._queue, rules, rules.limit, now_ns, self._stopped)
        waiting = len(self._queue)
        if waiting == 1:
            return 1, 0
        if rules.limit == 1 and worker.together > 1 and len(self._parked) <= (worker in self._parked):
            return min(waiting, worker.together), 0
        limit = self._sharing.limit(rules.limit, self._queue.inferences, self._busy + blocked)
        return plan_batch(self._queue, rules, limit, now_ns, self._stopped)

    def _pop(self, count: int) -> tuple[int, Batch]:
        batch = self._queue.take(count)
        number = self._taken
        self._taken += 1
        self._busy += 1
        if self._queue:  # what is left may be a batch already
            self._wake_one()
        return number, batch

    def _wait(self, worker: Worker, wait_ns: int) -> None:
        if wait_ns < 0:
            worker.parking.wait()
        elif not worker.parking.wait(wait_ns):
            with self._lock:
                if self._leader is worker:
                    self._leader = None
                    return
            worker.parking.wait()  # somebody woke it in the very moment

    # --- running without a worker ---

    def _waker(self, later: Later) -> Callable[[], None]:
        """What `later` is to call: always the same, so that it is called once."""
        waker = self._wakers.get(later)
        if waker is None:
            waker = self._wakers[later] = partial(self._run_or_wake, later)
        return waker

    def _run_or_wake(self, later: Later) -> None:
        """Run what waits in the calling thread where that is sure to be quick, else have a worker look at it.

        Waking a worker and hearing from it again costs more than a tiny model does. The worker whose instance this
        borrows stays parked meanwhile, and nobody can wake it. What answers later is given its batch here, and its answer is
        taken here: nobody waits, however long that takes.
        """
        with self._lock:
            if not self._queue:
                return
            lender = self._parked[-1] if self._parked and self._leader is None else None
            queue = self._queue
            answers_later = lender is not None and lender.answers_later
            if lender is None or not (
                answers_later or (queue.inferences <= lender.quick_limit and len(queue) <= MOST_REQUESTS)
            ):
                self._wake_one()
                return
            now_ns = time.monotonic_ns()
            expired = self._queue.expire(now_ns) if self._watch is not None else ()
            count, wait_ns = self._plan(now_ns, lender)
            if count and answers_later and not is_light(islice(queue, count)):
                count = 0
                self._wake_one()
            elif count:
                self._parked.pop()
                number, batch = self._pop(count)
            elif wait_ns >= 0:  # somebody has to lead
                self._wake_one()
        reject(expired)
        if count and answers_later:
            self._begin_here(lender, number, batch, later)
        elif count:
            try:
                outcomes = lender.run_here(batch)
            finally:
                self._give_back(lender)
            lender.send(number, outcomes)

    def _begin_here(self, lender: Worker, number: int, batch: Batch, later: Later) -> None:
        begun = lender.begin_here(batch)
        if begun is None:
            lender.take_over(number, batch)
        elif isinstance(begun, int):
            later.when_readable(begun, partial(self._finish_here, lender, number, batch, begun, later))
        else:
            self._give_back(lender)
            lender.send(number, begun)

    def _finish_here(self, lender: Worker, number: int, batch: Batch, descriptor: int, later: Later) -> None:
        outcomes = lender.finish_here()
        if outcomes is False:  # a part of the answer has come
            return
        later.no_longer(descriptor)
        if outcomes is True:
            lender.take_over(number, batch)
            return
        with self._lock:
            self._busy -= 1
            if self._stopped or lender.retired:
                lender.parking.leave()
            else:
                self._parked.append(lender)
        lender.send(number, outcomes)
        if self._queue:
            self._run_or_wake(later)

    def _give_back(self, lender: Worker) -> None:
        with self._lock:
            self._busy -= 1
            if self._queue or self._stopped or lender.retired:
                lender.parking.leave()
            else:
                self._parked.append(lender)

    # --- waking; all with the lock held ---

    def _may_complete_batch(self, request: InferenceRequest) -> bool:
        """Whether this arrival can end the leader's waiting; the leader need not look at every one."""
        queue, rules = self._queue, self._rules
        return (
            queue.inferences in rules.preferred
            or queue.inferences >= rules.largest_preferred
            or queue.head.shape_key != request.shape_key
            or not queue.is_last(request)  # it may fill a batch that others behind it are too large for
        )

    def _wake_one(self) -> None:
        if self._leader is not None:
            leader, self._leader = self._leader, None
            leader.parking.leave()
        elif self._parked:
            self._parked.pop().parking.leave()

    def _wake_all(self) -> None:
        while self._leader is not None or self._parked:
            self._wake_one()

    def _removed(self) -> None:
        if self._leader is not None:  # what is left may be of a preferred size now
            self._wake_one()

    # --- the rest ---

    def _sender(self) -> Callable[[int, Callable[[], None]], None] | None:
        return self._order.send if self._order is not None else None

    def _expire(self) -> int:
        """Reject what has waited too long; when to look again, 0 for not before the next `notice`."""
        with self._lock:
            expired = self._queue.expire(time.monotonic_ns())
            next_ns = self._queue.next_deadline_ns
        reject(expired)
        return next_ns


def reject(expired: Sequence[InferenceRequest]) -> None:
    """End requests that have waited too long."""
    for request in expired:
        request.fail(UnavailableError("Request timeout expired"), FailureReason.REJECTED)
