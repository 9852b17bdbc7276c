"""What to analyze and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tcli_analyzer.evidence.pairs import TIE
from tcli_analyzer.goal import Goal
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.search import Grid


@dataclass(frozen=True)
class AnalysisOptions:
    """What to analyze and how.

    Attributes:
        repositories: model repositories, only read.
        window: how long what is measured is.
        tie: relative differences up to this are none that matters.
        finals_seconds: after which the finals begin no new round.
        patience_seconds: that all measurements together wait for a quiet machine.
        shapes: input -> shape without the batch dimension, for inputs with -1 dimensions.
        memory: bytes that the process of a configuration may hold; None for nearly all that are free.
        journal: file that keeps every measurement; None for none.
        resume: go on with what the journal has.
    """

    model: str
    repositories: tuple[Path, ...]
    grid: Grid
    goal: Goal = field(default_factory=Goal)
    window: VisitOptions = field(default_factory=lambda: VisitOptions(windows=2))
    tie: float = TIE
    finals_seconds: float = 90.0
    patience_seconds: float = 60.0
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    memory: int | None = None
    journal: Path | None = None
    resume: bool = False
