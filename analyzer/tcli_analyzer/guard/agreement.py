"""How often two variants name the same class, and how sure that is."""

import math
from dataclasses import dataclass

CONFIDENCE = 0.95
_Z = 1.959963984540054
"""The standard normal's 97.5th percentile."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Items for which both answers are the same, of all that were compared.

    The interval is Wilson's score interval: never outside 0 to 1, right for the few dozen items there are, and for shares near
    1 that are all that matters here, where the usual one (p plus or minus 2 sd) is a point and claims certainty.
    """

    same: int
    count: int

    @property
    def share(self) -> float:
        """Of the items; 1 without any."""
        return self.same / self.count if self.count else 1.0

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self._interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self._interval()[1]

    @property
    def text(self) -> str:
        """For people: "62 of 64 (89 to 99 %)"."""
        return f"{self.same} of {self.count} ({100 * self.low:.0f} to {100 * self.high:.0f} %)"

    def _interval(self) -> tuple[float, float]:
        if not self.count:
            return 0.0, 1.0
        n, p, z2 = self.count, self.share, _Z * _Z
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


def least_count(share: float) -> int:
    """How many items that all agree put the lower end at `share`, which is below 1."""
    return math.ceil(_Z * _Z * share / (1 - share))
