"""Open-loop load: requests are sent when they are due, whatever was answered."""

import sys
import threading
from collections.abc import Iterable, Sequence
from time import perf_counter_ns, sleep, thread_time_ns
from types import TracebackType
from typing import Self

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load import Reply, Sequences
from tcli_analyzer.load.backlog import Backlog
from tcli_analyzer.load.failing import StuckError
from tcli_analyzer.load.sequences import Dealer, Played, Pool
from tcli_analyzer.target import OnReply, Target
from tcli_server.errors import ServerError

DRAIN_SECONDS = 30.0
MOST_OUTSTANDING = 5_000
"""Requests without an answer at which the rate is given up as too high."""

_COARSE_NS = 2_000_000
"""Sleeping ends up to so much late; what is left is waited for in shorter sleeps."""

_SWITCH_SECONDS = 0.0005
"""How long another thread of this process may keep the interpreter before the sender gets it: 5 ms by default."""


class OpenLoop:
    """Sends by a schedule from `__enter__` until its end or `__exit__`, which waits for the last answer.

    A latency counts from the moment at which the request was due: a server that stalls delays those after it, too, and a
    measurement that waits with them does not see that (coordinated omission).

    Args:
        moments: seconds from the start at which requests are due, rising; may have no end.
        sequences: that requests belong to in turn; what is open at the end gets an end before its time.
        gives_up: a backlog that grows without end ends the load. Not for recorded arrivals: they may just come in bursts.

    Attributes:
        replies: as `RunningLoad.replies`.
        error: as `RunningLoad.error`.
        drain_seconds: as `RunningLoad.drain_seconds`.
        overloaded: as `RunningLoad.overloaded`.
        lateness_ns: of each request that was sent, how long after it was due.
        cpu_ns: processor time of the thread that sends.
    """

    def __init__(
        self,
        target: Target,
        requests: Sequence[Inputs],
        moments: Iterable[float],
        sequences: Sequences | None = None,
        gives_up: bool = True,
    ) -> None:
        self.replies: list[Reply] = []
        self.error: ServerError | None = None
        self.drain_seconds = DRAIN_SECONDS
        self.overloaded = False
        self.lateness_ns: list[int] = []
        self._target = target
        self._requests = requests
        self.cpu_ns = 0
        self._next_due_ns = 0
        self._moments = moments
        self._backlog = Backlog() if gives_up else None
        self._pool = Pool(Dealer(sequences, requests), sequences) if sequences is not None else None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._outstanding = 0
        self._drained = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._send_all, name="sender", daemon=True)

    def __enter__(self) -> Self:
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(_SWITCH_SECONDS, self._switch_seconds))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        sys.setswitchinterval(self._switch_seconds)
        for played in self._pool.close() if self._pool is not None else ():
            self._end_sequence(played)
        # Not where the user wants the end at once, nor where no answer is to be expected.
        if kind is None or (issubclass(kind, Exception) and not isinstance(error, StuckError)):
            with self._drained:
                self._drained.wait_for(lambda: not self._outstanding, self.drain_seconds)

    @property
    def is_over(self) -> bool:
        """Whether everything was sent, or is not going to be."""
        return not self._thread.is_alive()

    @property
    def is_finished(self) -> bool:
        """Whether everything was sent and answered."""
        return self.is_over and not self._outstanding

    @property
    def outstanding(self) -> int:
        """Requests that were sent and not answered."""
        return self._outstanding

    @property
    def behind_ns(self) -> int:
        """For how long the next request has been due, or 0: a sender that cannot keep up falls further and further behind."""
        if self.overloaded:
            return self.lateness_ns[-1]
        due = self._next_due_ns
        return max(0, perf_counter_ns() - due) if due and not self.is_over else 0

    def _send_all(self) -> None:
        start = perf_counter_ns()
        for number, moment in enumerate(self._moments):
            due = self._next_due_ns = start + int(moment * 1e9)
            if not self._wait(due):
                return
            self._send(number, due)
            self.cpu_ns = thread_time_ns()

    def _wait(self, due: int) -> bool:
        """Wait until it is due; False if nothing more is to be sent."""
        while (left := due - perf_counter_ns()) > 0:
            if left > _COARSE_NS:
                if self._stopping.wait((left - _COARSE_NS) / 1e9):
                    return False
            else:
                sleep(left / 2e9)
        return not self._stopping.is_set()

    def _send(self, number: int, due: int) -> None:
        with self._lock:
            self._outstanding += 1
            waiting = self._outstanding
        if waiting > MOST_OUTSTANDING or (
            self._backlog is not None and self._backlog.grows(waiting, due, self.replies)
        ):
            self.overloaded = True
            self._stopping.set()
        sent = perf_counter_ns()
        self.lateness_ns.append(sent - due)

        def answered(error: ServerError | None) -> None:
            now = perf_counter_ns()
            if error is None:
                self.replies.append(Reply(now, now - due, now - sent))
            self._ended(error)

        try:
            if self._pool is None:
                self._target.submit(self._requests[number % len(self._requests)], answered)
            else:
                self._send_in_sequence(self._pool, answered)
        except ServerError as error:
            self._ended(error)

    def _send_in_sequence(self, pool: Pool, reply: OnReply) -> None:
        played = pool.take()
        place, mark = played.next()

        def answered(error: ServerError | None) -> None:
            if pool.give_back(played, failed=error is not None):
                self._end_sequence(played)  # before the reply is counted: nobody is to think that all are answered
            reply(error)

        self._target.submit(self._requests[place], answered, mark)

    def _end_sequence(self, played: Played) -> None:
        """A server keeps room for a sequence until its end, or for a while."""
        place, mark = played.next(ending=True)
        with self._lock:
            self._outstanding += 1
        try:
            self._target.submit(self._requests[place], self._ended, mark)
        except ServerError as error:
            self._ended(error)

    def _ended(self, error: ServerError | None) -> None:
        with self._drained:
            self._outstanding -= 1
            if error is not None:
                self.error = self.error or error
                self._stopping.set()
            self._drained.notify_all()
