"""Small, fast analyses for the tests."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import fixed_batch_models
from tcli_analyzer.analysis import Analysis, Failure, analyze
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.output import Written, write_output
from tcli_analyzer.point import Point
from tcli_analyzer.search import Grid
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


FAST = VisitOptions(windows=1, seconds=0.02, warm_up_seconds=0.01)


@dataclass
class Recorder:
    """Writes down what an analysis tells."""

    notes: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    plans: list[tuple[int, float]] = field(default_factory=list)
    finalists: list[Point] = field(default_factory=list)
    rounds: int = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def planned(self, points: int, seconds: float) -> None:
        self.plans.append((points, seconds))

    def measuring(self, configuration: Configuration, load: Load) -> None:
        del configuration, load

    def measured(self, point: Point, seconds_left: float) -> None:
        assert seconds_left >= 0
        self.points.append(point)

    def racing(self, finalists: list[Point]) -> None:
        self.finalists = finalists

    def raced(self, race: Race, seconds_left: float) -> None:
        assert seconds_left >= 0
        self.rounds = race.rounds

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)


@dataclass
class Done:
    """An analysis and everything around it."""

    analysis: Analysis
    written: Written
    recorder: Recorder
    repository: Path
    temporary: Path


def write_fixed_model(repository: Path, name: str = "fixed") -> Path:
    fixed_batch_models.classifier(repository / name / "1" / "model.onnx")
    (repository / name / "config.pbtxt").write_text(CONFIG)
    (repository / name / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    return repository


def run(repository: Path, name: str, output: Path, recorder: Recorder | None = None, **more: object) -> Done:
    """Analyze with a small grid and short windows, and write the output."""
    fast = {"window": FAST, "grid": Grid((1, 4), (1, 2), (1, 4)), "finals_seconds": 3.0, "patience_seconds": 0.0}
    options = AnalysisOptions(name, (repository,), **{**fast, **more})
    recorder = recorder or Recorder()
    with Workspace(find_model([repository], name)) as workspace:
        temporary = workspace.current.parent
        analysis = analyze(options, workspace, recorder, threading.Event())
        written = write_output(analysis, workspace, output)
    return Done(analysis, written, recorder, repository, temporary)
