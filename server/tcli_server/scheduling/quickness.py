"""Which batches are so short that the thread that brings the requests may as well run them itself."""

import time
from collections.abc import Sequence

from tcli_server.request import InferenceRequest

QUICK_NS = 200_000
"""How long a batch may take in an event loop: what the loop does anyway for its requests, reading and writing, is more."""

MOST_REQUESTS = 32
"""Requests that a batch may have in an event loop: if it fails, each of them runs once more, alone."""

_SURPRISE_NS = 5 * QUICK_NS
_FIRST_DOUBT_NS = 10**8
_DOUBT_NS = 10**10


class Quickness:
    """Learns from what ran how large a batch may be and still be quick.

    It believes no more than twice what it has seen, so the first batch that is not quick is not far from it. What was sure
    to be quick and was not by far, as some values can take a hundred times as long (denormal numbers), is not believed for
    a while, and for ten seconds if that goes on: else such values, sent now and then, would hold the loop up all the time.

    Args:
        most: inferences up to which batches of one size take about equally long; no larger one is ever sure to be quick.

    Attributes:
        limit: inferences.
    """

    __slots__ = ("_doubt_until_ns", "_most", "_surprised_ns", "limit")

    def __init__(self, most: int) -> None:
        self._most = most
        self._doubt_until_ns = self._surprised_ns = 0
        self.limit = 0

    def ran(self, batch: Sequence[InferenceRequest], answered: bool, duration_ns: int, processor_ns: int) -> None:
        """A batch took that long, and used the processor for so long: it may have had to wait for others.

        Args:
            answered: every request of it; what failed may have failed early, and says nothing about what goes well.
        """
        inferences = batch[0].batch_size if len(batch) == 1 else sum([request.batch_size for request in batch])
        if duration_ns > QUICK_NS:
            if processor_ns > _SURPRISE_NS and inferences <= self.limit and len(batch) <= MOST_REQUESTS:
                self._doubt()
            self.limit = min(self.limit, inferences // 2)
        elif answered and self.limit < min(2 * inferences, self._most) and time.monotonic_ns() >= self._doubt_until_ns:
            self.limit = min(2 * inferences, self._most)

    def _doubt(self) -> None:
        now_ns = time.monotonic_ns()
        again = self._surprised_ns > 0 and now_ns - self._surprised_ns < 2 * _DOUBT_NS
        self._surprised_ns = now_ns
        self._doubt_until_ns = now_ns + (_DOUBT_NS if again else _FIRST_DOUBT_NS)
        self.limit = 0
