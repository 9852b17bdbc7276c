"""The requests that wait for a model's instances, in the order in which they will run."""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterator

from tcli_server.request import InferenceRequest
from tcli_server.scheduling.policy import Levels

_COMPACT = 64
"""Ended requests that a lane may keep before it is looked through for them."""


class QueueFullError(Exception):
    """As many requests wait as the level's policy allows."""


class Lane:
    """Requests of one priority level, first come, first served; a request in it has the lane as its `queue`.

    A request that ends while it waits only counts as gone: its entry stays until the lane is next looked through.
    """

    __slots__ = ("_queue", "entries", "live")

    def __init__(self, queue: "RequestQueue") -> None:
        self._queue = queue
        self.entries: deque[InferenceRequest] = deque()
        self.live = 0

    def __iter__(self) -> Iterator[InferenceRequest]:
        return (request for request in self.entries if request.queue is self)

    def append(self, request: InferenceRequest) -> None:
        request.queue = self
        self.entries.append(request)
        self.live += 1

    def popleft(self) -> InferenceRequest:
        """The first request that waits; there must be one."""
        while True:
            request = self.entries.popleft()
            if request.queue is self:
                request.queue = None
                self.live -= 1
                return request

    def discard(self, request: InferenceRequest) -> None:
        """Take out a request that waits here."""
        request.queue = None
        self.live -= 1
        if len(self.entries) > 2 * self.live + _COMPACT:
            self.entries = deque(self)

    def release(self, request: InferenceRequest) -> None:
        """The request has ended while it waited."""
        self._queue.forget(request, self)


class RequestQueue:
    """Waiting requests by priority; within a level by arrival, those that waited too long behind the others.

    All methods but `forget` are called with `lock` held; no request is ended here, as that calls other people's code.

    Args:
        lock: guards the queue.
        removed: called, with the lock held, when a request is gone that was not taken.
    """

    def __init__(self, levels: Levels, lock: threading.Lock, removed: Callable[[], None]) -> None:
        self._levels = levels
        self._lock = lock
        self._removed = removed
        self._lanes: dict[int, tuple[Lane, Lane]] = {}  # level -> in time, and delayed; by level
        self._deadlines: list[tuple[int, int, InferenceRequest]] = []
        self._put = 0
        self.inferences = 0
        """Batch sizes of what waits, summed."""

    def __len__(self) -> int:
        return sum([lane.live + delayed.live for lane, delayed in self._lanes.values()])

    def __bool__(self) -> bool:
        return self.inferences > 0  # every request has a batch size of 1 or more

    def __iter__(self) -> Iterator[InferenceRequest]:
        for lanes in self._lanes.values():
            for lane in lanes:
                if lane.live:
                    yield from lane

    @property
    def head(self) -> InferenceRequest:
        """The request that is next; there must be one."""
        return next(iter(self))

    def is_last(self, request: InferenceRequest) -> bool:
        """Whether nothing waits behind a request that has just been put."""
        lanes = [lane for lanes in self._lanes.values() for lane in lanes if lane.live]
        return lanes[-1] is request.queue

    @property
    def next_deadline_ns(self) -> int:
        """When the next request may have waited too long, 0 if none can."""
        return self._deadlines[0][0] if self._deadlines else 0

    def put(self, request: InferenceRequest, now_ns: int) -> None:
        """Queue a request.

        Raises:
            QueueFullError: its level has no room.
        """
        level = self._levels.of(request)
        policy = self._levels.policy(level)
        lane, delayed = self._lanes.get(level) or self._open(level)
        if policy.max_size and lane.live + delayed.live >= policy.max_size:
            raise QueueFullError
        request.queue_ns = now_ns
        request.deadline_ns = policy.deadline_ns(request, now_ns)
        if request.deadline_ns:
            heapq.heappush(self._deadlines, (request.deadline_ns, self._put, request))
        self._put += 1
        lane.append(request)
        self.inferences += request.batch_size

    def _open(self, level: int) -> tuple[Lane, Lane]:
        """Make room for a level, and let go of those that nobody waits at: there may be any number."""
        used = {known: lanes for known, lanes in self._lanes.items() if lanes[0].live or lanes[1].live}
        used[level] = (Lane(self), Lane(self))
        self._lanes = dict(sorted(used.items()))
        return used[level]

    def take(self, count: int) -> list[InferenceRequest]:
        """Take out the first `count` requests."""
        taken: list[InferenceRequest] = []
        for lanes in self._lanes.values():
            for lane in lanes:
                while lane.live and len(taken) < count:
                    taken.append(lane.popleft())
        self.inferences -= sum([request.batch_size for request in taken])
        return taken

    def expire(self, now_ns: int) -> list[InferenceRequest]:
        """Move behind the others what waited too long, or take it out: these are returned, to be rejected."""
        expired: list[InferenceRequest] = []
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            _, _, request = heapq.heappop(self._deadlines)
            lane = request.queue
            if not isinstance(lane, Lane):  # it runs or has ended
                continue
            level = self._levels.of(request)
            lane.discard(request)
            if self._levels.policy(level).delays:
                self._lanes[level][1].append(request)
            else:
                self.inferences -= request.batch_size
                expired.append(request)
        return expired

    def forget(self, request: InferenceRequest, lane: Lane) -> None:
        """Take out a request that has ended; from any thread, without the lock."""
        with self._lock:
            if request.queue is not lane:
                return
            lane.discard(request)
            self.inferences -= request.batch_size
            if len(self._deadlines) > 2 * len(self) + _COMPACT:
                self._deadlines = [entry for entry in self._deadlines if entry[2].queue is not None]
                heapq.heapify(self._deadlines)
            self._removed()
