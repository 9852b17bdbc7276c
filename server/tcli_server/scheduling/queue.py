"""The requests that wait for a model's instances, in the order in which they will run."""

import heapq
import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from tcli_server.request import InferenceRequest
from tcli_server.scheduling.policy import Levels

_COMPACT = 64
"""Ended requests that a lane may keep, or lanes without a request that a queue may, before they are looked for."""


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
        self._queue.joined(self)

    def popleft(self) -> InferenceRequest:
        """The first request that waits; there must be one."""
        while True:
            request = self.entries.popleft()
            if request.queue is self:
                request.queue = None
                self.live -= 1
                self._queue.left(self)
                return request

    def discard(self, request: InferenceRequest) -> None:
        """Take out a request that waits here."""
        request.queue = None
        self.live -= 1
        self._queue.left(self)
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
        self._lanes: dict[int, tuple[Lane, Lane]] = {}  # level -> in time, and delayed
        self._levels_in_order: list[int] = []
        self._waiting = self._live_lanes = 0
        # Without priorities, limits and timeouts there is one lane for ever, and no reason to ask for it again and again.
        plain = not levels.count and not levels.fallback.max_size and not levels.have_timeouts
        self._only = self._open(levels.default)[0] if plain else None
        self._deadlines: list[tuple[int, int, InferenceRequest]] = []
        self._put = 0
        self.inferences = 0
        """Batch sizes of what waits, summed."""

    def __len__(self) -> int:
        return self._waiting

    def __bool__(self) -> bool:
        return self.inferences > 0  # every request has a batch size of 1 or more

    def __iter__(self) -> Iterator[InferenceRequest]:
        only = self._only
        if only is not None:
            return iter(only.entries) if only.live == len(only.entries) else iter(only)
        used = [lane for lane in self._lanes_in_order() if lane.live]
        if len(used) == 1 and used[0].live == len(used[0].entries):  # nearly always, and several times as fast
            return iter(used[0].entries)
        return chain.from_iterable(used)

    def _lanes_in_order(self) -> Iterator[Lane]:
        for level in self._levels_in_order:
            yield from self._lanes[level]

    @property
    def head(self) -> InferenceRequest:
        """The request that is next; there must be one."""
        return next(iter(self))

    def is_last(self, request: InferenceRequest) -> bool:
        """Whether nothing waits behind a request that has just been put."""
        lanes = (lane for level in reversed(self._levels_in_order) for lane in reversed(self._lanes[level]))
        return next(lane for lane in lanes if lane.live) is request.queue

    @property
    def next_deadline_ns(self) -> int:
        """When the next request may have waited too long, 0 if none can."""
        return self._deadlines[0][0] if self._deadlines else 0

    def put(self, request: InferenceRequest, now_ns: int) -> None:
        """Queue a request.

        Raises:
            QueueFullError: its level has no room.
        """
        only = self._only
        if only is not None:
            request.queue_ns, request.queue = now_ns, only
            only.entries.append(request)
            only.live += 1
            self._waiting += 1
            self.inferences += request.batch_size
            return
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
        """Make room for a level."""
        lanes = self._lanes[level] = (Lane(self), Lane(self))
        insort(self._levels_in_order, level)
        return lanes

    def joined(self, lane: Lane) -> None:
        """A lane has one request more."""
        self._waiting += 1
        self._live_lanes += lane.live == 1

    def left(self, lane: Lane) -> None:
        """A lane has one request less."""
        self._waiting -= 1
        self._live_lanes -= not lane.live

    def _let_go_of_levels(self) -> None:
        """Forget levels that nobody waits at, once they are most: clients may name any number of them."""
        if self._only is None and len(self._lanes) > 2 * self._live_lanes + _COMPACT:
            self._lanes = {level: lanes for level, lanes in self._lanes.items() if lanes[0].live or lanes[1].live}
            self._levels_in_order = sorted(self._lanes)

    def take(self, count: int) -> list[InferenceRequest]:
        """Take out the first `count` requests."""
        only = self._only
        if only is not None and only.live == len(only.entries):
            popleft = only.entries.popleft
            batch = [popleft() for _ in range(count)]
            for request in batch:
                request.queue = None
                self.inferences -= request.batch_size
            only.live -= count
            self._waiting -= count
            return batch
        taken: list[InferenceRequest] = []
        for lane in self._lanes_in_order():
            while lane.live and len(taken) < count:
                taken.append(lane.popleft())
            if len(taken) == count:
                break
        self.inferences -= sum([request.batch_size for request in taken])
        self._let_go_of_levels()
        return taken

    def expire(self, now_ns: int) -> list[InferenceRequest]:
        """Move behind the others what waited too long, or take it out: these are returned, to be rejected.

        Either way other requests come first now, so that they may be a batch.
        """
        expired: list[InferenceRequest] = []
        waiting = len(self._deadlines)
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
        if len(self._deadlines) < waiting:
            self._removed()
        self._let_go_of_levels()
        return expired

    def forget(self, request: InferenceRequest, lane: Lane) -> None:
        """Take out a request that has ended; from any thread, without the lock."""
        with self._lock:
            if request.queue is not lane:
                return
            lane.discard(request)
            self.inferences -= request.batch_size
            self._let_go_of_levels()
            if len(self._deadlines) > 2 * len(self) + _COMPACT:
                self._deadlines = [entry for entry in self._deadlines if entry[2].queue is not None]
                heapq.heapify(self._deadlines)
            self._removed()
