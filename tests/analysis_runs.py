"""Small, fast analyses for the tests."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import fixed_batch_models
from tcli_analyzer.analysis import Analysis
from tcli_analyzer.analyze import analyze
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.options import AnalysisOptions, SearchKind
from tcli_analyzer.output import Written, write_output
from tcli_analyzer.point import Point
from tcli_analyzer.searching.found import Failure
from tcli_analyzer.space import SpaceValues
from tcli_analyzer.subject import find_model
from tcli_analyzer.workspace import Workspace

CONFIG = """# written by hand
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2, 4, 4 ] reshape { shape: [ 1, 2, 4, 4 ] } } ]
output [
  { name: "y" data_type: TYPE_FP32 dims: [ 5 ] reshape { shape: [ 1, 5, 1, 1 ] } label_filename: "labels.txt" }
]
parameters { key: "tcli_placeholder" value { string_value: "random weights" } }
"""


SMALL = SpaceValues(max_batch_sizes=(1, 4), instances=(1, 2), concurrency=(1, 4), engines=())
FAST = {
    "search": SearchKind.GRID,
    "space": SMALL,
    "window_seconds": 0.02,
    "finals_seconds": 0.5,
    "patience_seconds": 0.0,
}
"""Every point of a small space, measured for a moment."""


@dataclass
class Recorder:
    """Writes down what an analysis tells."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    plans: list[tuple[int, int, float]] = field(default_factory=list)
    finalists: list[Point] = field(default_factory=list)
    rounds: int = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def planned(self, points: int, of: int, seconds: float) -> None:
        self.plans.append((points, of, seconds))

    def measuring(self, what: str, seconds_left: float) -> None:
        assert what
        assert seconds_left >= 0

    def measured(self, point: Point, seconds_left: float) -> None:
        assert seconds_left >= 0
        self.points.append(point)

    def racing(self, finalists: list[Point]) -> None:
        self.finalists = finalists

    def raced(self, race: Race, seconds_left: float) -> None:
        assert seconds_left >= 0
        self.rounds = race.rounds

    def rated(self, configuration: Configuration, text: str) -> None:
        self.notes.append(f"{configuration.label}: {text}")

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)


@dataclass
class Done:
    """An analysis and everything around it.

    Attributes:
        written: what `run` was given a folder for.
    """

    analysis: Analysis
    written: Written | None
    recorder: Recorder
    repository: Path
    temporary: Path


def write_fixed_model(repository: Path, name: str = "fixed") -> Path:
    fixed_batch_models.classifier(repository / name / "1" / "model.onnx")
    (repository / name / "config.pbtxt").write_text(CONFIG)
    (repository / name / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    return repository


def run(repository: Path, name: str, output: Path | None, recorder: Recorder | None = None, **more: object) -> Done:
    """Analyze a small space with short windows, and write the output if it is wanted, which takes a second."""
    options = AnalysisOptions(name, (repository,), **{**FAST, **more})
    recorder = recorder or Recorder()
    with Workspace(find_model([repository], name)) as workspace:
        temporary = workspace.current.parent
        analysis = analyze(options, workspace, recorder, threading.Event())
        written = write_output(analysis, workspace, output) if output is not None else None
    return Done(analysis, written, recorder, repository, temporary)
