"""Which models to analyze together, and how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.together.goal import JointGoal


@dataclass(frozen=True)
class TogetherOptions:
    """What to analyze and how.

    Attributes:
        models: each model's own, two or more, on this machine; `search_seconds` are those of its search alone.
        weights: each model's, above 0.
        most_seconds: as of `AnalysisOptions`, for all models.
        search_seconds: that the search for an arrangement takes at most, about.
        finals_seconds, patience_seconds, tie, window_seconds, journal, resume: as of `AnalysisOptions`, for all models.
    """

    models: tuple[AnalysisOptions, ...]
    weights: Mapping[str, float]
    most_seconds: float | None = None
    search_seconds: float = 90.0
    finals_seconds: float = 90.0
    patience_seconds: float = 60.0
    tie: float = 0.02
    window_seconds: float = 0.5
    journal: Path | None = None
    resume: bool = False

    @property
    def name(self) -> str:
        """Of all: "a+b"."""
        return "+".join(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models."""
        return tuple(one.model for one in self.models)

    @property
    def goal(self) -> JointGoal:
        """What is wanted of all."""
        return JointGoal(
            {one.model: one.goal for one in self.models}, {name: self.weights[name] for name in self.names}
        )
