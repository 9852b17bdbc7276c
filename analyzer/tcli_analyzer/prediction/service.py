"""How long one execution takes, by the size of its batch and by how many run side by side."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Entry:
    """Executions of one batch size, measured.

    Attributes:
        seconds: of one, on average, while nothing else of the model runs.
        residuals: how single ones differed: factors with a mean of 1, at least one.
    """

    seconds: float
    residuals: Sequence[float] = (1.0,)


@dataclass(frozen=True)
class ServiceTimes:
    """The table for one number of instances and threads.

    Attributes:
        entries: by batch size; 1 and the largest that is asked for must be among them.
        slowdown: factors on the time while 1, 2, ... instances run; the last counts for more, too.
        reply_seconds: that an instance is held for each answer that it gives.
    """

    entries: Mapping[int, Entry]
    slowdown: Sequence[float] = (1.0,)
    reply_seconds: float = 0.0

    @cached_property
    def _sizes(self) -> list[int]:
        return sorted(self.entries)

    def seconds(self, items: int) -> float:
        """Of a batch, alone: between two measured sizes in proportion, but nothing beyond the largest.

        Raises:
            ValueError: the batch is larger than any that was measured, or smaller.
        """
        entry = self.entries.get(items)
        if entry is not None:
            return entry.seconds
        sizes = self._sizes
        above = bisect_left(sizes, items)
        if not 0 < above < len(sizes):
            raise ValueError(f"no service time for a batch of {items}: measured were {sizes}")
        low, high = sizes[above - 1], sizes[above]
        part = (items - low) / (high - low)
        return (1 - part) * self.entries[low].seconds + part * self.entries[high].seconds

    def residuals(self, items: int) -> Sequence[float]:
        """Of the batch size measured that is nearest."""
        return self.entries[min(self._sizes, key=lambda size: abs(size - items))].residuals

    def factor(self, running: int) -> float:
        """How much longer an execution takes while so many run, itself among them."""
        return self.slowdown[min(running, len(self.slowdown)) - 1]
