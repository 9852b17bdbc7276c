"""What is best for several models: a weighted mean of what each gains, each within its own latency budget."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tcli_analyzer.goal import Goal
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.together.window import JointWindow, clean_ones, part_windows

_NOTHING = 1e-9
"""The value of a model that answered nothing."""


@dataclass(frozen=True)
class JointGoal:
    """What the user wants.

    The mean is geometric: doubling one model at the price of halving another of the same weight gains nothing.

    Attributes:
        goals: each model's.
        weights: each model's, above 0.
    """

    goals: Mapping[str, Goal]
    weights: Mapping[str, float]

    def value(self, window: Window) -> float:
        """More is better, above 0; of two windows only the ratio means something: it is the mean of the models' ratios."""
        assert isinstance(window, JointWindow)
        logs = {model: self._log(window, model) for model in self.goals}
        return math.exp(sum(self.weights[model] * log for model, log in logs.items()) / sum(self.weights.values()))

    def value_of(self, model: str) -> Callable[[Window], float]:
        """One model's value."""

        def value(window: Window) -> float:
            assert isinstance(window, JointWindow)
            return math.exp(self._log(window, model))

        return value

    def over_budget(self, windows: Sequence[JointWindow]) -> list[str]:
        """Models that do not keep their latency budgets, as far as the requests tell."""
        clean = clean_ones(windows)
        return [model for model, goal in self.goals.items() if not goal.allows(part_windows(clean, model))]

    def describe(self) -> str:
        """For titles and file headers."""
        each = [
            f"{model}: {goal.describe()}{f', weight {self.weights[model]:g}' if self.weights[model] != 1 else ''}"
            for model, goal in self.goals.items()
        ]
        return f"best weighted mean of gains while all run ({'; '.join(each)})"

    def _log(self, window: JointWindow, model: str) -> float:
        part = window.parts[model]
        return math.log(max(_NOTHING, self.goals[model].value(part)) if len(part.latencies_ms) else _NOTHING)
