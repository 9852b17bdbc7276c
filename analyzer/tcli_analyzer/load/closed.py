"""Closed-loop load: a fixed number of requests is always outstanding; each reply sends the next request."""

import threading
from collections.abc import Sequence
from itertools import count
from time import perf_counter_ns
from types import TracebackType
from typing import Self

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load import Reply, Sequences
from tcli_analyzer.load.failing import StuckError
from tcli_analyzer.load.sequences import Dealer
from tcli_analyzer.target import Target
from tcli_server.errors import ServerError

DRAIN_SECONDS = 120.0


class ClosedLoop:
    """Keeps `concurrency` requests outstanding at a target from `__enter__` until `__exit__`, which waits for the last.

    Args:
        most: the load ends by itself after so many requests, and those that end open sequences; 0 for no limit.
        sequences: that each caller plays one after the other; what is open at the end gets an end before its time.

    Attributes:
        replies: as `RunningLoad.replies`.
        error: as `RunningLoad.error`.
        drain_seconds: as `RunningLoad.drain_seconds`.
        overloaded: never: nobody asks before an answer is there.
        is_finished: never before `__exit__`: each answer sends the next request.
    """

    overloaded = False
    is_finished = False

    def __init__(
        self,
        target: Target,
        requests: Sequence[Inputs],
        concurrency: int,
        sequences: Sequences | None = None,
        most: int = 0,
    ) -> None:
        self.replies: list[Reply] = []
        self.error: ServerError | None = None
        self.drain_seconds = DRAIN_SECONDS
        self._target = target
        self._requests = requests
        self._concurrency = concurrency
        self._turns = iter(range(most)) if most else count()
        self._dealer = Dealer(sequences, requests) if sequences is not None else None
        self._stopping = False
        self._active = concurrency
        self._lock = threading.Lock()
        self._drained = threading.Event()

    def __enter__(self) -> Self:
        for caller in range(self._concurrency):
            if self._dealer is None:
                _Caller(self, self._requests, first=caller).send()
            else:
                _SequenceCaller(self, self._requests, self._dealer).send()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        # Not where the user wants the end at once, nor where no answer is to be expected.
        if kind is None or (issubclass(kind, Exception) and not isinstance(error, StuckError)):
            self._drained.wait(self.drain_seconds)

    @property
    def outstanding(self) -> int:
        """Requests that were sent and not answered."""
        return self._active

    def _caller_ended(self, error: ServerError | None) -> None:
        with self._lock:
            self.error = self.error or error
            self._stopping = self._stopping or error is not None
            self._active -= 1
            if not self._active:
                self._drained.set()


class _Caller:
    """One of the outstanding requests."""

    __slots__ = ("_load", "_next", "_requests", "_sent")

    def __init__(self, load: ClosedLoop, requests: Sequence[Inputs], first: int) -> None:
        self._load = load
        self._requests = requests
        self._next = first
        self._sent = 0

    def send(self) -> None:
        if next(self._load._turns, None) is None:
            self._load._caller_ended(None)
            return
        inputs = self._requests[self._next % len(self._requests)]
        self._next += 1
        self._sent = perf_counter_ns()
        try:
            self._load._target.submit(inputs, self._reply)
        except ServerError as error:
            self._load._caller_ended(error)

    def _reply(self, error: ServerError | None) -> None:
        now = perf_counter_ns()
        load = self._load
        if error is not None:
            load._caller_ended(error)
            return
        taken = now - self._sent
        load.replies.append(Reply(now, taken, taken))
        if load._stopping and self._may_stop():
            load._caller_ended(None)
        else:
            self.send()

    def _may_stop(self) -> bool:
        return True


class _SequenceCaller(_Caller):
    """A caller that plays sequences."""

    __slots__ = ("_dealer", "_played")

    def __init__(self, load: ClosedLoop, requests: Sequence[Inputs], dealer: Dealer) -> None:
        super().__init__(load, requests, first=0)
        self._dealer = dealer
        self._played = dealer.deal()

    def send(self) -> None:
        last = next(self._load._turns, None) is None
        if last and self._played.over:
            self._load._caller_ended(None)
            return
        if self._played.over:
            self._dealer.finished(self._played)
            self._played = self._dealer.deal()
        place, mark = self._played.next(ending=last or self._load._stopping)
        self._sent = perf_counter_ns()
        try:
            self._load._target.submit(self._requests[place], self._reply, mark)
        except ServerError as error:
            self._load._caller_ended(error)

    def _may_stop(self) -> bool:
        return self._played.over
