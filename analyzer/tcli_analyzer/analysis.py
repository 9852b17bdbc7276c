"""What an analysis found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.neighbours import Neighbours
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.finals import Finals
from tcli_analyzer.guard import Accuracy
from tcli_analyzer.machine import Machine
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.notes import disturbers
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.point import Point
from tcli_analyzer.rate.choice import by_rate, choose_by_rate
from tcli_analyzer.rate.found import RateFound
from tcli_analyzer.recommendation import Recommendation, recommend
from tcli_analyzer.searching.found import Failure, Prediction
from tcli_analyzer.subject import Subject


@dataclass
class Analysis:
    """Everything that came out.

    Attributes:
        where: what was measured: "this machine", or a server's address.
        points: what the search measured.
        checks: what it measured to judge its predictions, beside the points.
        size: points of the whole field.
        leaders: the best of the search, best first; the current configuration is not among them.
        prediction: how well predictions and measurements agreed; None where nothing was predicted.
        accuracy: of configurations whose answers were compared with the original's.
        finals: None if nothing came that far.
        rated: configurations whose rates are looked for.
        rates: the highest rate within the objective on latencies, of configurations that were asked for it.
        notes: what a reader of the numbers must know, one sentence each.
        generator: what the load generator can do at most; None where that was not measured.
        neighbours: who used the processor while windows were disturbed.
        identity: digests of what was analyzed, see `identity_of`.
        interrupted: the user stopped it; `points` are those that were finished.
        resumed: windows that an earlier run had measured.
    """

    options: AnalysisOptions
    subject: Subject
    machine: Machine
    started: datetime
    where: str = "this machine"
    configurations: tuple[Configuration, ...] = ()
    points: list[Point] = field(default_factory=list)
    checks: list[Point] = field(default_factory=list)
    size: int = 0
    leaders: list[Point] = field(default_factory=list)
    prediction: Prediction | None = None
    accuracy: dict[Configuration, Accuracy] = field(default_factory=dict)
    finals: Finals | None = None
    rated: list[Configuration] = field(default_factory=list)
    rates: dict[Configuration, RateFound] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    generator: GeneratorLimit | None = None
    neighbours: Neighbours = field(default_factory=Neighbours)
    identity: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    resumed: int = 0
    seconds: float = 0.0

    @property
    def windows(self) -> list[Window]:
        """All that were measured, in the search and in the finals."""
        return [window for point in self.all_points for window in point.windows.windows]

    @property
    def all_points(self) -> list[Point]:
        """Those of the search, its checks, and the finalists."""
        finalists = self.finals.points if self.finals is not None else ()
        return [*self.points, *self.checks, *finalists]

    @property
    def only_current(self) -> bool:
        """Whether nothing that was tried beside the current configuration could be measured."""
        return bool(self.failures) and all(point.configuration.current for point in self.points)

    @property
    def lost_finalists(self) -> bool:
        """Whether every finalist failed where it was measured again."""
        return self.finals is not None and not self.finals.points and bool(self.finals.failures)

    @property
    def recommendation(self) -> Recommendation | None:
        """None only if nothing was measured."""
        finals = self.finals
        if self.points and (finals is None or not finals.points):  # stopped before, or nothing could be measured again
            current = [point for point in self.points if point.configuration.current][:1]
            stopped = self.interrupted
            points = tuple(current or self.points[:1])
            finals = Finals(points, Race(), self.options.goal, self.options.tie, 0.0, interrupted=stopped)
        found = recommend(finals, self.points, self.subject.default, disturbers(self))
        slo = self.options.slo
        failed = {one.configuration: one.reason for one in self.failures if one.load is None}
        choice = choose_by_rate(slo, self.rated, self.rates, self.generator, failed) if slo is not None else None
        return by_rate(found, choice) if found is not None and choice is not None else found

    def rejected(self) -> Mapping[Configuration, Accuracy]:
        """What gives other answers, or may, and so cannot win."""
        return {one: accuracy for one, accuracy in self.accuracy.items() if not accuracy.may_win}


class Observer(Protocol):
    """Who watches an analysis; called from the thread that runs it."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def warn(self, text: str) -> None:
        """Something that must still be there when all is over, however it ends."""

    def planned(self, points: int, of: int, seconds: float) -> None:
        """The search measures about so many points of all there are; the whole analysis takes about so long."""

    def measuring(self, what: str, seconds_left: float) -> None:
        """A visit begins."""

    def measured(self, point: Point, seconds_left: float) -> None:
        """A point is done."""

    def racing(self, finalists: list[Point]) -> None:
        """The finals begin."""

    def raced(self, race: Race, seconds_left: float) -> None:
        """A round of the finals is done; `seconds_left` at most."""

    def rated(self, configuration: Configuration, text: str) -> None:
        """A probe of a rate is done."""

    def failed(self, failure: Failure) -> None:
        """A point cannot be measured."""
