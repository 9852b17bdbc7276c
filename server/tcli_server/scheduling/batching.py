"""How queued requests become a batch: Triton's dynamic batcher, as a function of what waits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tcli_server.request import InferenceRequest


@dataclass(frozen=True)
class BatchRules:
    """When a batch is full, and how long it may wait to become so.

    Attributes:
        limit: inferences that may share an execution; 1 runs every request alone.
        preferred: batch sizes worth waiting for, each in 1..limit.
        max_delay_ns: how long the oldest request may wait for a preferred size, nanoseconds.
    """

    limit: int = 1
    preferred: frozenset[int] = frozenset((1,))
    max_delay_ns: int = 0

    @cached_property
    def largest_preferred(self) -> int:
        """Waiting for more than this is of no use."""
        return max(self.preferred)


def batch_rules(most: int, preferred: Sequence[int], max_delay_us: int) -> BatchRules:
    """Of a configuration's numbers, by which a model that takes no batches has `most` 0."""
    limit = max(1, most)
    return BatchRules(limit, frozenset(preferred) or frozenset((limit,)), max_delay_us * 1000)


def plan_batch(
    queued: Iterable[InferenceRequest], rules: BatchRules, limit: int, now_ns: int, hurry: bool = False
) -> tuple[int, int]:
    """How many of the queued requests to run now, or 0 and the nanoseconds that may still be waited.

    Whole requests are added in their order. A prefix that is of a preferred size is best. Where none is and the next
    request would pass the largest preferred size, the requests before it are. Without such a prefix everything that was
    added goes once something ends the batch: the limit, another shape, or the end of the delay, from which on preferred
    sizes do not matter.

    Args:
        queued: in their order, at least one.
        limit: inferences that this batch may have, at most `rules.limit`.
        hurry: do not wait for more.
    """
    preferred, largest = rules.preferred, rules.largest_preferred
    size, best, count, oldest_ns = 0, 0, 0, now_ns
    limited = False
    shape_key = None
    for request in queued:
        grown = size + request.batch_size
        if count:
            if grown > limit or request.shape_key != shape_key:
                limited = True
                break
            if not best and grown > largest:
                best = count
        else:
            shape_key = request.shape_key
        if request.queue_ns < oldest_ns:
            oldest_ns = request.queue_ns
        size, count = grown, count + 1
        if size in preferred:
            best = count
        if size >= limit:
            limited = True
            break
    left_ns = oldest_ns + rules.max_delay_ns - now_ns
    if hurry or left_ns <= 0:
        return count, 0
    if best:
        return best, 0
    if limited or size >= largest:
        return count, 0
    return 0, left_ns
