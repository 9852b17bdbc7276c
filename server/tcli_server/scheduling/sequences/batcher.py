"""The scheduler of stateful models: every request of a sequence goes to the same slot of the same instance, in order."""

import heapq
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence

from tcli_server.errors import CancelledError, InvalidArgumentError, ServerError, UnavailableError
from tcli_server.observability.log import LOG
from tcli_server.request import FailureReason, InferenceRequest
from tcli_server.scheduling import Later, PlacedInstance
from tcli_server.scheduling.answering import AnyExecutor
from tcli_server.scheduling.deadlines import DeadlineWatch
from tcli_server.scheduling.sequences.controls import Controls
from tcli_server.scheduling.sequences.forming import Strategy
from tcli_server.scheduling.sequences.iterations import Iterations
from tcli_server.scheduling.sequences.losses import Losses
from tcli_server.scheduling.sequences.run import NoStep, Run, SequenceStep
from tcli_server.scheduling.sequences.seat import Seat
from tcli_server.scheduling.sequences.states import States
from tcli_server.scheduling.worker import Worker

Batch = list[InferenceRequest]

_COMPACT = 64
"""Entries of what is gone that a list may keep before they are looked for."""


_WARNING_SECS = 10


class SequenceBatcher:
    """Sequences, the slots that they hold, and those that wait for one.

    A slot is free again when the last request of its sequence is answered, when nothing was heard of the sequence for too
    long, or when a client that is gone cancels one of its requests. The oldest sequence that waits takes it.

    Args:
        size: slots of each instance.
        idle_ns: how long a sequence may keep its slot without a request.
        executor: makes what runs the batches of one instance.
        iterations: where each request is a sequence of steps; None for sequences of requests.
    """

    def __init__(
        self,
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
        self._model = model
        self._size = size
        self._idle_ns = idle_ns
        self._strategy = strategy
        self._controls = controls
        self._states = states
        self._nobody = controls.of_nobody() if strategy.keeps_rows else None
        self._executor = executor
        self._iterations = iterations
        self._lock = threading.Lock()
        self._runs: dict[int | str, Run] = {}  # those that may go on, by id
        self._losses = Losses(model)
        self._resting: OrderedDict[Run, None] = OrderedDict()  # those whose client is to speak, longest first
        self._backlog: deque[Run] = deque()
        self._seats: list[Seat] = []
        self._free: list[tuple[int, int, Seat]] = []  # row, seat's number: the first rows of all instances come first
        self._seat_count = self._waiting = self._running = self._taken = 0
        self._deadlines: list[tuple[int, int, Run]] = []  # of requests that wait for a slot
        self._put = self._gone = 0
        self._next_warning = 0.0
        self._stopped = False
        self._watch = DeadlineWatch(self._expire)
        self.resize(instances)

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""
        return self._waiting

    @property
    def idle(self) -> bool:
        """As `Scheduler.idle`; sequences may still be open."""
        return not self._waiting and not self._running

    @property
    def unused(self) -> bool:
        """As `Scheduler.unused`."""
        return self.idle and not self._runs and not any(seat.worker.owes for seat in self._seats)

    # --- requests ---

    def submit(self, request: InferenceRequest, later: Later | None = None) -> bool:  # noqa: ARG002
        """As `Scheduler.submit`.

        Raises:
            InvalidArgumentError: the request cannot be part of a sequence, or not of this one.
        """
        if request.batch_size != 1:
            raise InvalidArgumentError(
                f"inference request to model '{self._model}' must specify batch-size 1 due to requirements of sequence batcher"
            )
        if not request.sequence_id:
            if self._iterations is None:
                raise InvalidArgumentError(
                    f"inference request to model '{self._model}' must specify a non-zero or non-empty correlation ID"
                )
            self._iterations.name(request, self._runs)
        self._controls.check(request)
        with self._lock:
            if self._stopped:
                return False
            run = self._runs.get(request.sequence_id)
            if run is None and not request.sequence_start:
                self._losses.check(request.sequence_id)
                raise InvalidArgumentError(
                    f"inference request for sequence {request.sequence_id} to model '{self._model}' must specify the START flag "
                    "on the first request of the sequence"
                )
            restarted = run is not None and request.sequence_start
            self._put_into(run or self._begin(request.sequence_id), request)
        if restarted:
            self._warn(request.sequence_id)
        if request.deadline_ns:
            self._watch.notice(request.deadline_ns)
        if request.ended and request.queue is not None:  # its end, before it had a place here, could not give it back
            request.queue.release(request)
        return True

    def _warn(self, sequence_id: int | str) -> None:
        """Say that a sequence began anew; not each time, as a client can do that as often as it likes."""
        now = time.monotonic()
        if now >= self._next_warning:
            self._next_warning = now + _WARNING_SECS
            LOG.warning(
                "sequence %s for model '%s' has a conflict: it starts again before it ended, and goes on from there (said "
                "at most every %d s)",
                sequence_id,
                self._model,
                _WARNING_SECS,
            )

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """As `Scheduler.abandon`."""
        with self._lock:
            run = self._runs.get(sequence_id)
            theirs = run is not None and connection in (None, run.connection)
            waiting = self._end(run) if run is not None and theirs else []
        cancel(waiting)

    def _begin(self, sequence_id: int | str) -> Run:
        run = self._runs[sequence_id] = Run(sequence_id, self._states, self._forget)
        if self._free:
            row, _, seat = heapq.heappop(self._free)
            self._sit_down(run, seat, row)
        else:
            self._backlog.append(run)
        return run

    def _put_into(self, run: Run, request: InferenceRequest) -> None:
        now_ns = time.monotonic_ns()
        request.queue_ns, request.queue = now_ns, run
        run.requests.append(request)
        run.connection = request.connection
        self._resting.pop(run, None)
        self._waiting += 1
        if request.sequence_end:
            run.complete = True
            del self._runs[run.id]  # which may be used anew at once
        if run.seat is not None:
            run.seat.wake()
        elif request.timeout_us:
            request.deadline_ns = now_ns + request.timeout_us * 1000
            heapq.heappush(self._deadlines, (request.deadline_ns, self._put, run))
            self._put += 1
            if len(self._deadlines) > 2 * self._waiting + _COMPACT:
                self._deadlines = [entry for entry in self._deadlines if entry[2].seat is None and entry[2].requests]
                heapq.heapify(self._deadlines)

    def _forget(self, run: Run, request: InferenceRequest) -> None:
        """A request ended while it waited: the client is gone, and with it the sequence; without the lock."""
        with self._lock:
            if request.queue is not run:
                return
            others = self._end(run)
        cancel(other for other in others if other is not request)

    # --- slots; all with the lock held ---

    def _sit_down(self, run: Run, seat: Seat, row: int) -> None:
        run.seat, run.row = seat, row
        seat.rows[row] = run
        if run.requests:
            seat.wake()

    def _end(self, run: Run) -> Batch:
        """Forget a sequence; the requests that wait are returned, for others to end."""
        if self._runs.get(run.id) is run:
            del self._runs[run.id]
        self._resting.pop(run, None)
        run.complete = True
        waiting = list(run.requests)
        run.requests.clear()
        for request in waiting:
            request.queue = None
        self._waiting -= len(waiting)
        if run.seat is None:  # its entry in the backlog stays until that is next looked through
            self._gone += 1
            if self._gone > len(self._backlog) // 2 + _COMPACT:
                self._backlog = deque(other for other in self._backlog if other.requests)
                self._gone = 0
        self._leave_if_over(run)
        return waiting

    def _next_in_line(self) -> Run | None:
        """The oldest sequence that waits for a slot."""
        while self._backlog:
            run = self._backlog.popleft()
            if run.requests:
                return run
            self._gone -= 1
        return None

    def _leave_if_over(self, run: Run) -> None:
        seat = run.seat
        if seat is None or not run.over:
            return
        run.seat = None
        seat.rows[run.row] = None
        following = self._next_in_line() if not seat.worker.retired else None
        if following is not None:
            self._sit_down(following, seat, run.row)
        elif not seat.worker.retired:
            heapq.heappush(self._free, (run.row, seat.number, seat))
        seat.wake()  # it may have nothing left to wait for

    def _expire(self) -> int:
        """End what has been idle or waited for too long; when to look again, 0 for not before the next `notice`."""
        timed_out: Batch = []
        with self._lock:
            now_ns = time.monotonic_ns()
            next_ns = 0
            while self._resting:
                run = next(iter(self._resting))
                if run.rests_ns + self._idle_ns > now_ns:
                    next_ns = run.rests_ns + self._idle_ns
                    break
                self._end(run)
            while self._deadlines and self._deadlines[0][0] <= now_ns:
                _, _, run = heapq.heappop(self._deadlines)
                if run.seat is None and any(0 < request.deadline_ns <= now_ns for request in run.requests):
                    timed_out += self._end(run)
            if self._deadlines:
                next_ns = min(next_ns or self._deadlines[0][0], self._deadlines[0][0])
        for request in timed_out:
            error = UnavailableError("timeout of the corresponding sequence has been expired")
            request.fail(error, FailureReason.REJECTED)
        return next_ns

    # --- what workers ask ---

    def _take(self, worker: Worker) -> tuple[int, Batch] | None:
        """As `Batcher.take`."""
        seat = next(seat for seat in self._seats if seat.worker is worker)
        while True:
            gone: Batch = []
            if worker.generation and self._rests(seat):
                continue
            with self._lock:
                runs, wait_ns = self._strategy.plan(seat.rows, time.monotonic_ns(), self._stopped)
                batch = self._batch(runs, gone)
                number = self._taken
                if batch:
                    self._taken += 1
                    self._running += 1
                elif not runs:
                    if seat.empty and (worker.retired or (self._stopped and not self._backlog)):
                        return None
                    seat.parked = True
            cancel(gone)
            if batch:
                return number, batch
            if not runs:
                self._wait(seat, wait_ns)

    def _rests(self, seat: Seat) -> bool:
        """End the sequences of which an instance has lost what it knew; and wait a moment if it is about to be replaced."""
        worker = seat.worker
        waiting: Batch = []
        with self._lock:
            for run in seat.rows:
                if run is not None and -1 < run.generation != worker.generation and run.running is None:
                    if not run.requests:
                        self._losses.remember(run.id)
                    waiting += self._end(run)
        for request in waiting:
            request.fail(self._losses.error(request.sequence_id), FailureReason.OTHER)
        return not (worker.fit or worker.retired or self._stopped) and worker.rests(())

    def _wait(self, seat: Seat, wait_ns: int) -> None:
        if not seat.worker.parking.wait(None if wait_ns < 0 else wait_ns):
            with self._lock:
                if seat.parked:
                    seat.parked = False
                    return
            seat.worker.parking.wait()  # somebody woke it in the very moment

    def _batch(self, runs: Sequence[Run | None], gone: Batch) -> Batch:
        """The next requests of these sequences.

        Args:
            gone: gets the requests that nobody will run, as the next one of their sequence has just ended.
        """
        steps: list[InferenceRequest | None] = []
        for run in runs:
            step = self._step(run) if run is not None else None
            if run is not None and step is None:  # the thread that ends it has not come to `_forget` yet
                gone += self._end(run)
            steps.append(step)
        like = next((step for step in steps if step is not None), None)
        if like is None:
            return []
        if self._nobody is None:
            return [step for step in steps if step is not None]
        return [step if step is not None else self._filler(like) for step in steps]

    def _step(self, run: Run) -> InferenceRequest | None:
        """A sequence's next request, ready to run; None if it has just ended."""
        request = run.requests[0]
        inputs = request.begin()
        if inputs is None:
            return None
        run.requests.popleft()
        request.queue = None
        self._waiting -= 1
        run.running = request
        if run.generation < 0 and run.seat is not None:
            run.generation = run.seat.worker.generation
        if request.sequence_start:
            run.states = self._states.initial
        inputs = {**inputs, **self._controls.of(request), **run.states}
        request.step = SequenceStep(run, self._states, inputs, self._nobody, self._iterations is not None)
        return request

    @staticmethod
    def _filler(like: InferenceRequest) -> InferenceRequest:
        """A row that is no request, in the shapes of one that is."""
        filler = like.step.filler() if like.step is not None else None
        assert filler is not None, "only a strategy that keeps rows leaves gaps"
        row = InferenceRequest(like.model_name, {}, like.outputs)
        row.step = NoStep(filler)
        return row

    def _ran(self, worker: Worker) -> None:
        gone: Batch = []
        back: Batch = []
        late: list[tuple[InferenceRequest, ServerError]] = []
        rests = False
        with self._lock:
            seat = next(seat for seat in self._seats if seat.worker is worker)
            self._running -= 1
            now_ns = time.monotonic_ns()
            for run in seat.rows:
                if run is None or run.running is None:
                    continue
                request, run.running = run.running, None
                request.step = None
                again, run.again = run.again and not request.ended, False
                if again and self._iterations is not None:
                    lateness = self._iterations.lateness(request, now_ns)
                    if lateness is None:
                        self._put_back(run, request, now_ns)
                        back.append(request)
                        continue
                    late.append((request, lateness))
                if request.cancelled or (not run.requests and (self._stopped or self._iterations is not None)):
                    gone += self._end(run)
                elif not run.requests and not run.complete:
                    run.rests_ns = now_ns
                    self._resting[run] = None
                    rests = True
                else:
                    self._leave_if_over(run)
        if rests:
            self._watch.notice(now_ns + self._idle_ns)
        for request, too_late in late:
            request.fail(too_late, FailureReason.REJECTED)
        for request in back:
            if request.ended and request.queue is not None:  # as in `submit`
                request.queue.release(request)
        cancel(gone)

    def _put_back(self, run: Run, request: InferenceRequest, now_ns: int) -> None:
        """The model wants a request once more."""
        request.sequence_start = request.sequence_end = False
        request.queue_ns, request.queue = now_ns, run
        run.requests.appendleft(request)
        self._waiting += 1

    # --- the life of the scheduler ---

    def resize(self, instances: Sequence[PlacedInstance]) -> None:
        """As `Scheduler.resize`; an instance that goes keeps its slots until their sequences end."""
        with self._lock:
            there = [seat.worker.placed for seat in self._seats]
        fresh = [placed for placed in instances if all(placed is not other for other in there)]
        workers = [Worker(placed, self._executor(placed), self._take, self._ran, None) for placed in fresh]
        with self._lock:
            seats = [Seat(self._seat_count + index, worker, self._size) for index, worker in enumerate(workers)]
            self._seats = [seat for seat in self._seats if seat.worker.is_alive()] + seats
            self._seat_count += len(seats)
        self._start(seats)
        with self._lock:
            for seat in self._seats:
                seat.worker.retired = all(seat.worker.placed is not placed for placed in instances)
            self._free = [
                (row, seat.number, seat)
                for seat in self._seats
                if not seat.worker.retired
                for row, taken in enumerate(seat.rows)
                if taken is None
            ]
            heapq.heapify(self._free)
            while self._free and (run := self._next_in_line()) is not None:
                row, _, seat = heapq.heappop(self._free)
                self._sit_down(run, seat, row)
            self._wake_all()

    def _start(self, seats: Sequence[Seat]) -> None:
        """Start all workers or none.

        Raises:
            UnavailableError: the machine gives no more threads; the instances are closed then.
        """
        for index, seat in enumerate(seats):
            try:
                seat.worker.start()
            except RuntimeError as error:
                with self._lock:
                    self._seats = [other for other in self._seats if other not in seats[index:]]
                    for started in seats[:index]:
                        started.worker.retired = True
                    self._wake_all()
                for unstarted in seats[index:]:
                    unstarted.worker.placed.instance.close()
                raise UnavailableError(f"an instance of model '{self._model}': {error}") from None

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
            for seat in self._seats:
                for run in list(seat.rows):
                    if run is not None and not run.requests and run.running is None:
                        self._end(run)
            self._wake_all()

    def join(self, timeout: float | None = None) -> bool:
        """As `Scheduler.join`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        workers = [seat.worker for seat in self._seats]
        for worker in workers:
            worker.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        done = not any(worker.is_alive() for worker in workers)
        if done:
            self._watch.stop()
        return done

    def _wake_all(self) -> None:
        for seat in self._seats:
            seat.wake()


def cancel(requests: Iterable[InferenceRequest]) -> None:
    """End requests of a sequence that is over."""
    for request in requests:
        error = CancelledError("Request was cancelled, as the client of its sequence is gone")
        request.fail(error, FailureReason.CANCELED)
