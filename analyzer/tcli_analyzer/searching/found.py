"""What a search found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import Load
from tcli_analyzer.point import Point
from tcli_analyzer.prediction.stored import StoredTables
from tcli_analyzer.searching.agreement import Agreement, Compared


@dataclass(frozen=True)
class Failure:
    """What could not be measured.

    Attributes:
        load: None where the configuration did not get as far.
    """

    configuration: Configuration
    load: Load | None
    reason: str

    @property
    def place(self) -> str:
        """Which point it is, such as "batch 4, 1 instance, concurrency 8"."""
        load = f", {self.load.label}" if self.load is not None else ""
        return f"{self.configuration.label}{load}"


@dataclass(frozen=True)
class Expected:
    """What is expected of a point, measured or not.

    Attributes:
        same: configurations that run the same way under this load.
        value: of the goal, corrected by all that was measured.
        low: lower end of its 80 % interval.
        high: its upper end.
        throughput: inferences per second, by simulation alone, as what follows.
        batch_avg: average size of an executed batch.
        utilisation: share of the time in which an instance runs.
    """

    configuration: Configuration
    load: Load
    same: tuple[Configuration, ...]
    value: float
    low: float
    high: float
    throughput: float
    p50_ms: float
    p99_ms: float
    batch_avg: float
    utilisation: float


@dataclass(frozen=True)
class Prediction:
    """How a search by prediction went.

    Attributes:
        agreement: of predictions and measurements, by kind of load, see `searching.trust`.
        compared: the points behind it, those without an undisturbed window left out.
        expected: of every point that can be predicted, best first.
        not_measured: points that were not measured, those that run the same way as measured ones apart.
        unpredicted: those of them of which nothing is known, as there was no time for their service times.
        chance: that one of them is better than the leader by more than `margin`; nan where that cannot be told, as others disturbed
            the leader, or the search was ended early.
        margin: relative.
        stopped_by: why no more was measured, for people.
        tables: the service times, to keep and to ask what-if questions.
        fallback: why predictions were not trusted and points were raced instead; empty if they were.
        notes: what else limits what is predicted, for people.
    """

    agreement: Mapping[str, Agreement]
    compared: Mapping[str, Sequence[Compared]]
    expected: Sequence[Expected]
    not_measured: int
    unpredicted: int
    chance: float
    margin: float
    stopped_by: str
    tables: StoredTables
    fallback: str = ""
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For people: "22 of 40 points not measured; the chance that one of them is > 3 % better: 4 %"."""
        if not self.not_measured:
            return "all points measured"
        if math.isnan(self.chance):
            return f"{self._count()} not measured; how good they are cannot be told"
        chance = "less than 1 %" if self.chance < 0.01 else f"{100 * self.chance:.0f} %"
        return (
            f"{self._count()} not measured; the chance that one is more than {100 * self.margin:.0f} % better: {chance}"
        )

    def _count(self) -> str:
        return f"{self.not_measured} point{'s' * (self.not_measured != 1)}"


@dataclass(frozen=True)
class Found:
    """What came out.

    Attributes:
        points: measured, in the order in which they were first measured. Those outside of the field, such as the check of the
            prediction under an open load, are in `checks`.
        failures: what could not be measured.
        leaders: measured points of different configurations, best first by corrected estimate; the current configuration is not
            among them.
        current: the best point of the current configuration; None if it was not measured.
        size: points of the whole field.
        windows: measured, those of service times among them.
        load_seconds: spent on windows.
        stopped: the user asked to stop.
        prediction: None where nothing was predicted.
    """

    points: Sequence[Point]
    failures: Sequence[Failure]
    leaders: Sequence[Point]
    current: Point | None
    size: int
    windows: int
    load_seconds: float
    checks: Sequence[Point] = ()
    stopped: bool = False
    prediction: Prediction | None = None

    @property
    def share(self) -> float:
        """Of the field that was measured."""
        return (len(self.points) + len(self.checks)) / self.size if self.size else math.nan
