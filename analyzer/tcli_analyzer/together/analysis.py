"""What an analysis of several models found."""

from dataclasses import dataclass, field
from datetime import datetime

from tcli_analyzer.evidence.neighbours import Neighbours
from tcli_analyzer.machine import Machine
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.notes import THROTTLED_SHARE, disturbers
from tcli_analyzer.point import Point
from tcli_analyzer.searching.found import Failure
from tcli_analyzer.subject import Subject
from tcli_analyzer.together.finals import JointFinals
from tcli_analyzer.together.options import TogetherOptions
from tcli_analyzer.together.recommendation import JointRecommendation, recommend_together
from tcli_analyzer.together.search import Candidates, JointFound


@dataclass
class Part:
    """What is known of one model before all run.

    Attributes:
        points: what its search alone measured.
        candidates: what was tried of it while all ran.
    """

    subject: Subject
    points: list[Point] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    candidates: Candidates | None = None


@dataclass
class TogetherAnalysis:
    """Everything that came out.

    Attributes:
        parts: of each model.
        found: the search for an arrangement.
        finals: None if nothing came that far.
        notes: what a reader of the numbers must know, one sentence each.
        neighbours: who used the processor while all models were measured, and were disturbed.
        interrupted: the user stopped it.
        resumed: windows that an earlier run had measured.
    """

    options: TogetherOptions
    machine: Machine
    started: datetime
    parts: dict[str, Part] = field(default_factory=dict)
    found: JointFound = field(default_factory=JointFound)
    finals: JointFinals | None = None
    notes: list[str] = field(default_factory=list)
    neighbours: Neighbours = field(default_factory=Neighbours)
    interrupted: bool = False
    resumed: int = 0
    seconds: float = 0.0

    @property
    def windows(self) -> list[Window]:
        """All of all models together, in the search and in the finals."""
        searched = [window for each in self.found.windows.values() for window in each]
        raced = [window for each in self.finals.race.windows.values() for window in each] if self.finals else []
        return [*searched, *raced]

    @property
    def recommendation(self) -> JointRecommendation | None:
        """None if the models were not measured together."""
        return recommend_together(self.finals, disturbers(self)) if self.finals is not None else None

    def failures(self) -> list[tuple[str, str]]:
        """Where and why something could not be measured: of each model alone, then of all together."""
        alone = [
            (f"{model} alone: {one.place}", one.reason) for model, part in self.parts.items() for one in part.failures
        ]
        return [*alone, *((one.choice.label, one.reason) for one in self.found.failures)]

    def result_notes(self) -> list[str]:
        """What the measurements themselves say of how far to trust them."""
        notes = [f"not measured: {one.choice.label}: {one.reason}" for one in self.found.failures]
        windows = self.windows
        disturbed = sum(not window.is_clean for window in windows)
        if disturbed:
            notes.append(
                f"others disturbed {disturbed} of {len(windows)} windows ({disturbers(self)}): no claim rests on them; what one "
                "of the models takes from another disturbs nothing"
            )
        if windows and all(window.processor is None for window in windows):
            notes.append(
                "what others take of the processor cannot be seen here: comparisons count wins, and take more pairs"
            )
        throttled = sum(window.processor.throttled for window in windows if window.processor is not None)
        if throttled > THROTTLED_SHARE * sum(window.seconds for window in windows):
            notes.append(
                f"this container's CPU quota held the models back for {throttled:.1f} s: the numbers are those of the quota"
            )
        if not self.found.in_time:
            notes.append("the time was up before every candidate was tried: --max-time gives more")
        if self.resumed:
            notes.append(f"{self.resumed} windows were measured by an earlier run")
        if self.interrupted:
            notes.append("stopped before the end: only what was measured until then counts")
        return notes
