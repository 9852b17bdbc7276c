"""What the user wants: most inferences a second or the lowest latency, within a latency budget."""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from tcli_analyzer.evidence.pairs import Comparison
from tcli_analyzer.measuring.window import Window, Windows


class Objective(StrEnum):
    """What is best: the most inferences per second, or the lowest p99 latency."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"


@dataclass(frozen=True)
class Goal:
    """What the user wants.

    Attributes:
        latency_budget_ms: the p99 latency that a configuration may have; None for no limit.
    """

    objective: Objective = Objective.THROUGHPUT
    latency_budget_ms: float | None = None

    def value(self, windows: Windows | Window) -> float:
        """More is better, above 0: infer/s, or how often p99 fits into a second."""
        together = Windows([windows]) if isinstance(windows, Window) else windows
        if self.objective is Objective.LATENCY:
            return 1e3 / together.latency_ms(0.99)
        return together.throughput

    def keeps(self, windows: Windows) -> bool | None:
        """Whether the p99 latency is within the budget; None if the requests are too few to be sure."""
        if self.latency_budget_ms is None:
            return True
        return windows.percentile(0.99).keeps(self.latency_budget_ms)

    def allows(self, windows: Windows) -> bool:
        """Whether it counts: not over the budget as far as the requests tell, see `keeps`."""
        kept = self.keeps(windows)
        if kept is None:
            assert self.latency_budget_ms is not None
            return windows.latency_ms(0.99) <= self.latency_budget_ms
        return kept

    @property
    def gained(self) -> str:
        """What a better one has, for people."""
        return "less p99 latency" if self.objective is Objective.LATENCY else "more throughput"

    def said(self, compared: Comparison) -> Comparison:
        """With its gains as people say them: twice the value is 100 % more throughput, but 50 % less latency."""
        if self.objective is not Objective.LATENCY:
            return compared
        gain, low, high = (_less(one) for one in (compared.gain, compared.low, compared.high))
        return replace(compared, gain=gain, low=low, high=high)

    def describe(self) -> str:
        """For titles and file headers: "highest throughput with a p99 latency of at most 50 ms"."""
        what = "lowest p99 latency" if self.objective is Objective.LATENCY else "highest throughput"
        limit = self.latency_budget_ms
        return what if limit is None else f"{what} with a p99 latency of at most {limit:g} ms"


def _less(gain: float) -> float:
    """Of latency, where its inverse gains so much."""
    return 1 - 1 / (1 + gain) if gain > -1 else -math.inf
