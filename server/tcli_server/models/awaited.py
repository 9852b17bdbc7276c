"""What waits for one model to be loaded, in the order in which it came."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from tcli_server.request import InferenceRequest


class Awaited:
    """Requests and other callers that wait for a model; it is the `queue` of these requests.

    All methods but `release` are called with the lock of whoever owns this held.

    Args:
        gone: told, without the lock, of a request that ended while it waited.

    Attributes:
        loading: the model is being loaded for these.
    """

    __slots__ = ("_gone", "callers", "loading", "requests")

    def __init__(self, gone: Callable[["Awaited", InferenceRequest], None]) -> None:
        self._gone = gone
        self.loading = False
        self.requests: deque[InferenceRequest] = deque()
        self.callers: deque[tuple[int, Future[None]]] = deque()  # until when each waits, and what it waits for

    def __len__(self) -> int:
        return len(self.requests) + len(self.callers)

    def add(self, request: InferenceRequest, wait_ns: int) -> None:
        """A request waits, for so long at most since it arrived, or for as long as it says itself."""
        request.queue = self
        wait_ns = min(wait_ns, request.timeout_us * 1000) if request.timeout_us else wait_ns
        request.deadline_ns = request.arrival_ns + wait_ns
        self.requests.append(request)

    def add_caller(self, wait_ns: int) -> tuple[int, "Future[None]"]:
        """Somebody else waits, for so long at most; until when, and the end of it."""
        entry: tuple[int, Future[None]] = (time.monotonic_ns() + wait_ns, Future())
        self.callers.append(entry)
        return entry

    def forget(self, caller: "Future[None]") -> bool:
        """One of the others waits no more; whether it did."""
        found = [entry for entry in self.callers if entry[1] is caller]
        for entry in found:
            self.callers.remove(entry)
        return bool(found)

    def take(self) -> tuple[list[InferenceRequest], list["Future[None]"]]:
        """Let go of all that waits."""
        requests, callers = list(self.requests), [future for _, future in self.callers]
        self.requests.clear()
        self.callers.clear()
        for request in requests:
            request.queue, request.deadline_ns = None, 0
        return requests, callers

    def take_expired(self, now_ns: int) -> tuple[list[InferenceRequest], list["Future[None]"]]:
        """Let go of what has waited too long."""
        requests = [request for request in self.requests if request.deadline_ns <= now_ns]
        callers = [future for deadline_ns, future in self.callers if deadline_ns <= now_ns]
        if requests:
            self.requests = deque(request for request in self.requests if request.deadline_ns > now_ns)
        if callers:
            self.callers = deque(entry for entry in self.callers if entry[0] > now_ns)
        for request in requests:
            request.queue, request.deadline_ns = None, 0
        return requests, callers

    def next_deadline_ns(self) -> int:
        """When the first one has waited too long, 0 if nothing waits."""
        deadlines = [request.deadline_ns for request in self.requests] + [deadline for deadline, _ in self.callers]
        return min(deadlines, default=0)

    def release(self, request: InferenceRequest) -> None:
        """As `Holder.release`: a request has ended while it waited."""
        self._gone(self, request)
