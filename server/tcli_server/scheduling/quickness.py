"""Which batches are so short that the thread that brings the requests may as well run them itself."""

from collections.abc import Sequence

from tcli_server.request import InferenceRequest

QUICK_NS = 200_000
"""How long a batch may take in an event loop: what the loop does anyway for its requests, reading and writing, is more."""


class Quickness:
    """Learns from what ran how large a batch may be and still be quick.

    It believes no more than twice what it has seen, so the first batch that is not quick is not far from it.

    Args:
        steady: whether batches of one size take about equally long; if not, none is ever sure to be quick.

    Attributes:
        limit: inferences.
    """

    __slots__ = ("_steady", "limit")

    def __init__(self, steady: bool) -> None:
        self._steady = steady
        self.limit = 0

    def ran(self, batch: Sequence[InferenceRequest], duration_ns: int) -> None:
        """A batch took that long."""
        inferences = batch[0].batch_size if len(batch) == 1 else sum([request.batch_size for request in batch])
        if duration_ns > QUICK_NS:
            self.limit = min(self.limit, inferences // 2)
        elif self._steady and 2 * inferences > self.limit:
            self.limit = 2 * inferences
