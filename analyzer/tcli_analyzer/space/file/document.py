"""What a file of `--config` says, whoever's schema it is written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tcli_analyzer.space.values import SpaceValues


@dataclass(frozen=True, slots=True)
class NotUsed:
    """A field that was read and means nothing here."""

    field: str
    line: int
    reason: str


@dataclass(frozen=True)
class ModelEntry:
    """A model of the file.

    Attributes:
        weight: how much it counts beside the others.
        space: what is said for it alone; it goes before what is said for all.
        shape: of inputs, without the batch dimension.
        latency_budget: in ms; None where nothing is said, likewise below.
    """

    name: str
    weight: float = 1.0
    space: SpaceValues = field(default_factory=SpaceValues)
    shape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    input: tuple[str, ...] = ()
    objective: str | None = None
    latency_budget: float | None = None
    slo: str | None = None


@dataclass(frozen=True)
class AnalysisFile:
    """What the file says; None or empty where it says nothing. The fields are those of the options.

    Attributes:
        models: in the order of the file.
        latency_budget: in ms.
        tie: in percent.
        max_time: in seconds.
        arrivals_speed, arrivals_window: as the options take them.
        measurement_interval: in ms.
        memory_limit: in MiB.
        space: for all models.
        not_used: of Model Analyzer's fields.
        lines: where fields are, by their full names.
    """

    path: Path
    models: tuple[ModelEntry, ...] = ()
    model_repository: tuple[Path, ...] = ()
    objective: str | None = None
    latency_budget: float | None = None
    slo: str | None = None
    tolerance: float | None = None
    tie: float | None = None
    max_time: float | None = None
    search: str | None = None
    seed: int | None = None
    arrivals: str | None = None
    arrivals_speed: tuple[str, ...] = ()
    arrivals_window: str | None = None
    shape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    input: tuple[str, ...] = ()
    url: str | None = None
    protocol: str | None = None
    as_is: bool | None = None
    measurement_interval: float | None = None
    memory_limit: int | None = None
    output: Path | None = None
    png: bool | None = None
    markdown: bool | None = None
    parquet: bool | None = None
    space: SpaceValues = field(default_factory=SpaceValues)
    not_used: tuple[NotUsed, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)

    def place(self, name: str) -> str:
        """`FILE:LINE: field`, for messages about a value that only shows later to be wrong."""
        line = self.lines.get(name)
        return f"{self.path}:{line}: {name}" if line else f"{self.path}: {name}"

    def space_of(self, model: str) -> SpaceValues:
        """What the file says for a model: its own, then that of all."""
        own = next((one.space for one in self.models if one.name == model), SpaceValues())
        return own.over(self.space)

    @property
    def not_used_sentence(self) -> str:
        """`not used here: FIELD (why), ...`; empty where everything is used."""
        listed = ", ".join(f"{one.field} ({one.reason})" for one in self.not_used)
        return f"not used here: {listed}" if listed else ""
