"""A whole analysis: examine the model, search, let the best race each other, recommend."""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.bench import Bench, CannotMeasureError
from tcli_analyzer.bench.journaled import JournaledBench
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.bench.watched import WatchedBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.neighbours import Neighbours
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.finals import MOST_FINALISTS, Finals, run_finals
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.journal import Journal
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.machine import Machine, this_machine
from tcli_analyzer.measuring.repair import gather
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.notes import disturbers, fix_of, model_notes, result_notes
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Recommendation, best_of_each, recommend
from tcli_analyzer.search import Plan, make_plan, planned_order
from tcli_analyzer.subject import Subject, examine, find_model
from tcli_analyzer.variant import Variant, VariantDiedError
from tcli_analyzer.workspace import Workspace
from tcli_server.errors import InternalError

PROBE_REQUESTS = 5
LOAD_SECONDS = 2.5
"""About what it takes to start a process for a configuration, besides loading the model; only to guess the time left."""

ROUNDS_EXPECTED = 9
LEADERS = 2


class DoesNotRunError(Exception):
    """The model's current configuration does not answer a single request.

    Attributes:
        fix: what to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class Failure:
    """A point that could not be measured."""

    configuration: Configuration
    load: Load
    message: str

    @property
    def place(self) -> str:
        """Which point it is, such as "batch 4, 1 instance, concurrency 8"."""
        return f"{self.configuration.label}, {self.load.label}"


@dataclass
class Analysis:
    """Everything that came out.

    Attributes:
        points: what the search measured.
        finals: None if nothing came that far.
        notes: what a reader of the numbers must know, one sentence each.
        neighbours: who used the processor while windows were disturbed.
        interrupted: the user stopped it; `points` are those that were finished.
        resumed: windows that an earlier run had measured.
    """

    options: AnalysisOptions
    subject: Subject
    machine: Machine
    started: datetime
    points: list[Point] = field(default_factory=list)
    finals: Finals | None = None
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    neighbours: Neighbours = field(default_factory=Neighbours)
    interrupted: bool = False
    resumed: int = 0
    seconds: float = 0.0

    @property
    def windows(self) -> list[Window]:
        """All that were measured, in the search and in the finals."""
        finalists = self.finals.points if self.finals is not None else ()
        return [window for point in (*self.points, *finalists) for window in point.windows.windows]

    @property
    def only_current(self) -> bool:
        """Whether nothing that was tried beside the current configuration could be measured."""
        return bool(self.failures) and all(point.configuration.current for point in self.points)

    @property
    def recommendation(self) -> Recommendation | None:
        """None only if nothing was measured."""
        finals = self.finals
        if finals is None and self.points:  # stopped during the search
            leaders = finalists_of(self)
            finals = Finals(tuple(leaders), Race(), self.options.goal, self.options.tie, 0.0, interrupted=True)
        return recommend(finals, self.points, self.subject.default, disturbers(self))


class Observer(Protocol):
    """Who watches an analysis; called from the thread that runs it."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def planned(self, points: int, seconds: float) -> None:
        """The search has so many points, and the whole analysis takes about so long."""

    def measuring(self, configuration: Configuration, load: Load) -> None:
        """A point begins."""

    def measured(self, point: Point, seconds_left: float) -> None:
        """A point is done."""

    def racing(self, finalists: list[Point]) -> None:
        """The finals begin."""

    def raced(self, race: Race, seconds_left: float) -> None:
        """A round of the finals is done; `seconds_left` at most."""

    def failed(self, failure: Failure) -> None:
        """A point cannot be measured."""


def analyze(options: AnalysisOptions, workspace: Workspace, observer: Observer, stop: threading.Event) -> Analysis:
    """Run the analysis.

    Args:
        workspace: entered by the caller, who can take the rewritten model file from it before leaving.
        stop: set it, from any thread, to end early with what was measured until then.

    Raises:
        ServerError: the model cannot be loaded as it is.
        DoesNotRunError: the model does not run as it is.
        UnknownInputError: a shape does not fit the model.
        JournalError: the journal cannot be gone on with.
        OSError: the journal cannot be written.
    """
    began = time.monotonic()
    folder = find_model(options.repositories, options.model)
    complete = _complete_config(workspace, options, stop)
    subject = examine(folder, complete, options.shapes, workspace, observer.note)
    analysis = Analysis(options, subject, this_machine(), datetime.now().astimezone())
    grid = replace(options.grid, batch_sizes=subject.batch_sizes(options.grid.batch_sizes))
    plan = make_plan(subject.current, subject.base, grid, subject.batches, subject.batchable is not None)
    analysis.notes += [*model_notes(subject), *plan.notes]
    for note in analysis.notes:
        observer.note(note)
    with ExitStack() as stack:
        local = stack.enter_context(
            LocalBench(
                {False: workspace.current, True: workspace.rewritten},
                options.model,
                RandomSource(subject.shapes),
                stop,
                options.memory,
            )
        )
        watched = WatchedBench(local, stop, options.patience_seconds)
        analysis.neighbours = watched.neighbours
        bench = stack.enter_context(_kept(watched, analysis))
        try:
            _Sweep(analysis, plan, bench, observer).run()
            _race(analysis, bench, observer)
        except Stopped:
            analysis.interrupted = True
        analysis.resumed = bench.resumed if isinstance(bench, JournaledBench) else 0
    analysis.notes += result_notes(analysis)
    analysis.seconds = time.monotonic() - began
    return analysis


def _complete_config(workspace: Workspace, options: AnalysisOptions, stop: threading.Event) -> ModelConfig:
    """The current configuration as the server completes it, from a process of its own: loading may end it."""
    with Variant(workspace.current, options.model, stop, options.memory) as variant:
        try:
            return variant.load()
        except VariantDiedError as error:
            raise InternalError(str(error)) from None


@contextmanager
def _kept(bench: Bench, analysis: Analysis) -> Iterator[Bench]:
    options = analysis.options
    if options.journal is None:
        yield bench
        return
    with Journal(options.journal, _identity(analysis), options.resume) as journal:
        yield JournaledBench(bench, journal)


def _identity(analysis: Analysis) -> Mapping[str, Any]:
    """What measurements say nothing of if it differs."""
    folder = analysis.subject.folder
    files = sorted(path for path in folder.path.rglob("*") if path.is_file() and not path.name.startswith("."))
    state = [
        (str(path.relative_to(folder.path)), path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if not path.name.startswith("config.pbtxt.")
    ]
    return {
        "model": analysis.options.model,
        "files": hashlib.sha256(repr(state).encode()).hexdigest()[:16],
        "shapes": {name: list(shape) for name, shape in analysis.subject.shapes.items()},
        "window": analysis.options.window.seconds,
        "processor": analysis.machine.processor,
        "cores": analysis.machine.cores,
        "tcli": analysis.machine.tcli,
    }


class _Sweep:
    """Measures the points of a plan."""

    def __init__(self, analysis: Analysis, plan: Plan, bench: Bench, observer: Observer) -> None:
        self._analysis = analysis
        self._plan = plan
        self._bench = bench
        self._observer = observer
        self._options = analysis.options.window

    def run(self) -> None:
        latency = self._probe()
        expected = {point: expected_seconds(self._options, point.load, latency) for point in self._plan.points}
        loads = LOAD_SECONDS * len(planned_order(self._plan.points))
        finals = self._finals_seconds(latency)
        self._observer.planned(len(expected), sum(expected.values()) + loads + finals)
        spent, foreseen = 0.0, 0.0
        left = sum(expected.values()) + loads
        for configuration, points in planned_order(self._plan.points):
            too_slow = False
            left -= LOAD_SECONDS
            foreseen += LOAD_SECONDS
            for planned in points:
                left -= expected[planned]
                if too_slow:
                    continue
                started = time.monotonic()
                self._observer.measuring(configuration, planned.load)
                try:
                    windows = gather(self._bench, configuration, planned.load, self._options)
                except CannotMeasureError as error:
                    failure = Failure(configuration, planned.load, str(error))
                    self._analysis.failures.append(failure)
                    self._observer.failed(failure)
                    break
                spent += time.monotonic() - started
                foreseen += expected[planned]
                point = Point(configuration, planned.load, windows, planned.same)
                self._analysis.points.append(point)
                self._observer.measured(point, max(0.0, left) * spent / foreseen + finals)
                too_slow = self._is_over_budget(point)
                if too_slow and planned is not points[-1]:
                    self._say(
                        f"{configuration.label}: half of the requests exceed the latency budget at {planned.load.label}; "
                        "more was not tried"
                    )

    def _probe(self) -> float:
        """Seconds of one request of the current configuration, after warming up.

        Raises:
            DoesNotRunError: the model does not run.
        """
        subject = self._analysis.subject
        options = VisitOptions(seconds=0.001, requests=PROBE_REQUESTS, longest=1e6, warm_up_seconds=0.0)
        try:
            (window,) = self._bench.visit(subject.current, ClosedLoad(1), options)
        except CannotMeasureError as error:
            raise DoesNotRunError(str(error), fix_of(subject)) from None
        return float(window.latencies_ms.min()) / 1e3

    def _finals_seconds(self, latency: float) -> float:
        loads = [point.load for point in self._plan.points]
        largest = max(loads, key=lambda load: load.concurrency)
        one = expected_seconds(replace(self._options, windows=1), largest, latency)
        contenders = min(MOST_FINALISTS, len(planned_order(self._plan.points)))
        return min(self._analysis.options.finals_seconds, ROUNDS_EXPECTED * contenders * one)

    def _is_over_budget(self, point: Point) -> bool:
        budget = self._analysis.options.goal.latency_budget_ms
        if budget is None:
            return False
        # Of a disturbed point even the fastest request must: half of them may have waited for others.
        usual = point.measured.latency_ms(0.50) if point.is_clean else point.measured.latencies_ms.min()
        return bool(usual > budget)

    def _say(self, text: str) -> None:
        self._analysis.notes.append(text)
        self._observer.note(text)


def expected_seconds(options: VisitOptions, load: Load, latency: float) -> float:
    """About how long a visit takes where requests take `latency` seconds and do not speed each other up."""
    outstanding = load.concurrency if isinstance(load, ClosedLoad) else 1
    window = max(options.seconds, min(options.requests * latency, options.longest * options.seconds))
    warm_up = max(options.warm_up_seconds, min(2 * outstanding * latency, 4 * options.warm_up_seconds))
    return warm_up + options.windows * window + outstanding * latency


def finalists_of(analysis: Analysis) -> list[Point]:
    """The current configuration first, then its defaults and the leaders of the search, the simplest near the best among them."""
    goal = analysis.options.goal
    ranked = best_of_each(analysis.points, goal)
    current = [point for point in ranked if point.configuration.current]
    rivals = [point for point in ranked if not point.configuration.current and not point.configuration.wrong_batches]
    rivals = [point for point in rivals if not point.is_clean or goal.allows(point.measured)] or rivals[:1]
    leaders = rivals[:LEADERS]
    if leaders:
        least = goal.value(leaders[0].measured) * (1 - 2 * analysis.options.tie)
        near = [point for point in rivals if goal.value(point.measured) >= least]
        simplest = min(near, key=lambda point: (point.configuration.instances, point.configuration.max_batch_size))
        leaders = [leaders[0], *([simplest] if simplest is not leaders[0] else leaders[1:])]
    default = analysis.subject.default
    plain = (
        [replace((leaders or current)[0], configuration=default, same=())] if default and (leaders or current) else []
    )
    return [*current, *plain, *leaders][:MOST_FINALISTS]


def _race(analysis: Analysis, bench: Bench, observer: Observer) -> None:
    finalists = finalists_of(analysis)
    if not finalists:
        return
    observer.racing(finalists)
    options = analysis.options
    finals = run_finals(
        bench, finalists, options.goal, options.window, options.tie, options.finals_seconds, observer.raced
    )
    analysis.finals = finals
    analysis.interrupted = finals.interrupted
    for point, message in finals.failures:
        failure = Failure(point.configuration, point.load, message)
        analysis.failures.append(failure)
        observer.failed(failure)
