"""`max_inflight_requests`: how many runs of each step may be under way at a time, over all requests of an ensemble.

Source: `StepInflightRequestLimiter` in Triton's core (ensemble_scheduler.cc), which blocks the threads that wait; here the
runs wait in a queue.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from tcli_server.observability.log import LOG
from tcli_server.scheduling.deadlines import DeadlineWatch

_LONGEST_WAIT_SECS = 300
"""As in Triton: what has waited for so long goes on, lest two ensembles wait for each other for ever."""

_Entry = tuple[object, Callable[[], None], int]
"""Whose it is, what goes on, and when it waits no longer."""


class StepLimits:
    """Counts the runs of each step.

    Args:
        most: of a step.
    """

    def __init__(self, ensemble: str, steps: int, most: int) -> None:
        self._ensemble = ensemble
        self._most = most
        self._lock = threading.Lock()
        self._counts = [0] * steps
        self._waiting: list[deque[_Entry]] = [deque() for _ in range(steps)]
        self._due: deque[Callable[[], None]] = deque()
        self._handing_on = False
        self._watch = DeadlineWatch(self._expire)

    def enter(self, step: int, owner: object, go_on: Callable[[], None]) -> bool:
        """Count a run if there is room; else False, and `go_on` is called, which must not block, as soon as it is counted."""
        with self._lock:
            if self._counts[step] < self._most:
                self._counts[step] += 1
                return True
            deadline_ns = time.monotonic_ns() + _LONGEST_WAIT_SECS * 10**9
            self._waiting[step].append((owner, go_on, deadline_ns))
        self._watch.notice(deadline_ns)
        return False

    def leave(self, step: int) -> None:
        """A run is over."""
        with self._lock:
            self._counts[step] -= 1
            if self._waiting[step] and self._counts[step] < self._most:
                self._counts[step] += 1
                self._due.append(self._waiting[step].popleft()[1])
        self._hand_on()

    def withdraw(self, owner: object) -> int:
        """Forget those runs of an owner that wait: how many."""
        with self._lock:
            before = sum(map(len, self._waiting))
            self._waiting = [deque(entry for entry in queue if entry[0] is not owner) for queue in self._waiting]
            return before - sum(map(len, self._waiting))

    def stop(self) -> None:
        """Nobody waits any more."""
        self._watch.stop()

    def _hand_on(self) -> None:
        """Let go on what is due. What goes on may be over at once: only one thread is here, or they would run out of stack."""
        with self._lock:
            if self._handing_on:
                return
            self._handing_on = True
        while True:
            with self._lock:
                if not self._due:
                    self._handing_on = False
                    return
                go_on = self._due.popleft()
            go_on()

    def _expire(self) -> int:
        with self._lock:
            now_ns = time.monotonic_ns()
            for step, queue in enumerate(self._waiting):
                while queue and queue[0][2] <= now_ns:
                    LOG.error(
                        "ensemble '%s': a run of step %d has waited for %d s, as %d others are under way; it goes on without "
                        "regard to max_inflight_requests",
                        self._ensemble,
                        step + 1,
                        _LONGEST_WAIT_SECS,
                        self._counts[step],
                    )
                    self._counts[step] += 1
                    self._due.append(queue.popleft()[1])
            next_ns = min((queue[0][2] for queue in self._waiting if queue), default=0)
        self._hand_on()
        return next_ns
