"""Whether requests come faster than they are answered, seen as early as chance allows."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from tcli_analyzer.load import Reply

CHANCE = 4.0
"""Standard deviations of a count of arrivals: even at its very capacity a queue is seldom longer than so many."""

_LEAST_WAITING = 20
_LEAST_ANSWERED = 20
_LONGER = 1.5
_LIKE_THOSE = 0.3
_SINCE_HALF, _SINCE_LATE = 1.6, 1.2
"""How much longer the queue is than at half, and at three quarters, of what was sent: 2 and 1.33 in one that grows without end, 1 in
one that has settled."""
_NEXT_LOOK = 1.05
_OUTRUN = 2.0
"""Standard deviations of a count of arrivals."""


class Backlog:
    """Watches one load of chance or even arrivals from its beginning.

    Four things must come together: more requests wait than chance would pile up at the very limit; they have become more all the
    time; those answered lately took far longer than those before, which a stall that goes on does not show; and more requests come than
    are answered, which one that is over does not show, however long what it left behind takes.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._due_ns: list[int] = []
        self._next_look = 0.0

    def grows(self, waiting: int, due_ns: int, replies: Sequence[Reply]) -> bool:
        """Whether it grows without end; to be asked after each request that is sent.

        Args:
            waiting: requests without an answer.
            due_ns: when this request was due.
            replies: since the load began.
        """
        history = self._waiting
        history.append(waiting)
        self._due_ns.append(due_ns)
        sent = len(history)
        if waiting <= _LEAST_WAITING + CHANCE * math.sqrt(sent) or sent < self._next_look:
            return False
        self._next_look = sent * _NEXT_LOOK  # what is asked below is not for free
        if waiting < _SINCE_HALF * history[sent // 2] or waiting < _SINCE_LATE * history[sent * 3 // 4]:
            return False
        return _took_longer(replies, due_ns - self._due_ns[max(0, sent - waiting)]) and self._outruns(replies)

    def _outruns(self, replies: Sequence[Reply]) -> bool:
        """Whether more came than was answered, beyond chance, since answers began again after their longest pause of late."""
        count = len(replies)
        ends = [replies[place].at_ns for place in range(count // 2, count)]
        pauses = [later - earlier for earlier, later in pairwise(ends)]
        begin = pauses.index(max(pauses)) + 1
        answered = len(ends) - begin
        came = len(self._due_ns) - bisect_right(self._due_ns, ends[begin])
        return came - answered > _OUTRUN * math.sqrt(came)


def _took_longer(replies: Sequence[Reply], age_ns: int) -> bool:
    """Whether the later half of these answers took far longer than the earlier, and not much less than what waits has waited."""
    count = len(replies)
    if count < _LEAST_ANSWERED:
        return False
    half = count // 2
    early = sum(reply.latency_ns for reply in replies[:half]) / half
    late = sum(reply.latency_ns for reply in replies[half:count]) / (count - half)
    return late > max(_LONGER * early, _LIKE_THOSE * age_ns)
