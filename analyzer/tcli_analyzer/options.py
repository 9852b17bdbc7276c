"""What to analyze and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tcli_analyzer.arrivals import Distribution
from tcli_analyzer.evidence.pairs import TIE
from tcli_analyzer.goal import Goal
from tcli_analyzer.rate.slo import Slo
from tcli_analyzer.space.values import SpaceValues
from tcli_client.address import Protocol


class SearchKind(StrEnum):
    """How the best are looked for: by prediction, everywhere, or by Optuna's sampler."""

    QUICK = "quick"
    GRID = "grid"
    OPTUNA = "optuna"


@dataclass(frozen=True)
class RemoteServer:
    """A server that runs the model.

    Attributes:
        as_is: nothing is changed on it: only its own configuration is measured.
    """

    url: str
    protocol: Protocol | None = None
    as_is: bool = False


@dataclass(frozen=True)
class AnalysisOptions:
    """What to analyze and how.

    Attributes:
        repositories: model repositories, only read; none for a server.
        space: what is said of what is tried.
        slo: the objective on latencies for which the highest rate is looked for; None for no such search.
        distribution, gaps_seconds: how requests come in open loops.
        window_seconds: how long a window of measurement is, at least, where nothing asks for more.
        tie: relative differences up to this are none that matters.
        most_seconds: for everything, starts and checks among it, about: stages that follow get less if those before took longer; None for
            no limit but theirs.
        search_seconds: that the search takes at most, about; the grid takes what it takes.
        finals_seconds: after which the finals begin no new round.
        rate_seconds: of load, that the search for rates takes at most, about; without `slo` there is none.
        patience_seconds: that all measurements together wait for a quiet machine.
        shapes: input -> shape without the batch dimension, for inputs with -1 dimensions.
        inputs: files and folders of real inputs, as `DataSource.given`.
        tolerance: the largest relative difference of a variant's answers; None for what is usual.
        memory: bytes that the process of a configuration may hold; None for nearly all that are free.
        journal: file that keeps every measurement; None for none.
        resume: go on with what the journal has.
        ends_as_before: measure nothing more where the journal is of an analysis that has ended.
        server: None for processes of this machine.
    """

    model: str
    repositories: tuple[Path, ...] = ()
    space: SpaceValues = field(default_factory=SpaceValues)
    goal: Goal = field(default_factory=Goal)
    search: SearchKind = SearchKind.QUICK
    slo: Slo | None = None
    distribution: Distribution = Distribution.POISSON
    gaps_seconds: tuple[float, ...] = field(default=(), repr=False)
    window_seconds: float = 0.5
    tie: float = TIE
    most_seconds: float | None = None
    search_seconds: float = 100.0
    finals_seconds: float = 90.0
    rate_seconds: float = 360.0
    patience_seconds: float = 60.0
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    tolerance: float | None = None
    seed: int = 0
    memory: int | None = None
    journal: Path | None = None
    resume: bool = False
    ends_as_before: bool = False
    server: RemoteServer | None = None
