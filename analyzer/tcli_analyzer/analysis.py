"""A whole analysis: examine the model, plan the grid, measure it, check the best again, recommend."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.inputs import Inputs, random_requests
from tcli_analyzer.machine import Machine, this_machine
from tcli_analyzer.measurement import Measurement, MeasurementError, MeasurementOptions, Stopped, measure
from tcli_analyzer.notes import fix_of, model_notes, result_notes
from tcli_analyzer.recommendation import Goal, Point, Recommendation, best_of_each, recommend
from tcli_analyzer.search import Grid, Plan, PlannedPoint, make_plan, planned_order
from tcli_analyzer.subject import Subject, examine, find_model
from tcli_analyzer.target import EngineTarget
from tcli_analyzer.workspace import Workspace
from tcli_server.errors import ServerError

DIFFERENT_REQUESTS = 8
PROBE_REQUESTS = 5
CHECKED_AGAIN = 3


@dataclass(frozen=True)
class AnalysisOptions:
    """What to analyze and how.

    Attributes:
        repositories: model repositories, only read.
        shapes: input -> shape without the batch dimension, for inputs with -1 dimensions.
    """

    model: str
    repositories: tuple[Path, ...]
    grid: Grid
    goal: Goal = field(default_factory=Goal)
    measurement: MeasurementOptions = field(default_factory=MeasurementOptions)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)


class DoesNotRunError(MeasurementError):
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
    concurrency: int
    message: str

    @property
    def place(self) -> str:
        """Which point it is, such as "batch 4, 1 instance, concurrency 8"."""
        return f"{self.configuration.label}, concurrency {self.concurrency}"


@dataclass
class Analysis:
    """Everything that came out.

    Attributes:
        notes: what a reader of the numbers must know, one sentence each.
        interrupted: the user stopped it; `points` are those that were finished.
        recommendation: None only if nothing was measured.
    """

    options: AnalysisOptions
    subject: Subject
    machine: Machine
    started: datetime
    points: list[Point] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def only_current(self) -> bool:
        """Whether nothing that was tried beside the current configuration could be measured."""
        return bool(self.failures) and all(point.configuration.current for point in self.points)

    @property
    def recommendation(self) -> Recommendation | None:
        return recommend(self.points, self.options.goal)


class Observer(Protocol):
    """Who watches an analysis; called from the thread that runs it."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def planned(self, points: int, seconds: float) -> None:
        """The plan is made: so many points, which take about so long."""

    def measuring(self, configuration: Configuration, concurrency: int, again: bool) -> None:
        """A point begins; `again` if it is measured for the second time."""

    def measured(self, point: Point, seconds_left: float) -> None:
        """A point is done."""

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
    """
    began = time.monotonic()
    folder = find_model(options.repositories, options.model)
    with ExitStack() as stack:
        target = stack.enter_context(EngineTarget(workspace.current, options.model))
        complete = target.load()
        subject = examine(folder, complete, options.shapes, workspace, observer.note)
        analysis = Analysis(options, subject, this_machine(), datetime.now().astimezone())
        rewritten = subject.batchable is not None
        grid = replace(options.grid, batch_sizes=subject.batch_sizes(options.grid.batch_sizes))
        plan = make_plan(subject.current, subject.base, grid, subject.batches, rewritten)
        analysis.notes += [*model_notes(subject), *plan.notes]
        for note in analysis.notes:
            observer.note(note)
        targets = {False: target}
        if rewritten:
            targets[True] = stack.enter_context(EngineTarget(workspace.rewritten, options.model))
        sweep = _Sweep(analysis, plan, targets, observer, stop)
        try:
            sweep.run()
        except Stopped:
            analysis.interrupted = True
    analysis.notes += result_notes(analysis)
    analysis.seconds = time.monotonic() - began
    return analysis


class _Sweep:
    """Measures the points of a plan, and the best of them a second time."""

    def __init__(
        self,
        analysis: Analysis,
        plan: Plan,
        targets: Mapping[bool, EngineTarget],
        observer: Observer,
        stop: threading.Event,
    ) -> None:
        self._analysis = analysis
        self._plan = plan
        self._targets = targets
        self._observer = observer
        self._stop = stop
        self._options = analysis.options.measurement
        self._loaded: Configuration | None = None
        self._load_seconds = 0.0
        self._requests: list[Inputs] = []

    def run(self) -> None:
        latency = self._probe()
        expected = {point: self._expected_seconds(point.concurrency, latency) for point in self._plan.points}
        again = CHECKED_AGAIN * max(expected.values())
        loads = self._load_seconds * (len(planned_order(self._plan.points)) + CHECKED_AGAIN)
        self._observer.planned(len(expected), sum(expected.values()) + again + loads)
        spent, foreseen = 0.0, 0.0
        left = sum(expected.values())
        for configuration, points in planned_order(self._plan.points):
            too_slow = False
            for planned in points:
                left -= expected[planned]
                if too_slow:
                    continue
                started = time.monotonic()
                point = self._measure_planned(planned)
                spent += time.monotonic() - started
                foreseen += expected[planned]
                if point is None:
                    break
                self._analysis.points.append(point)
                self._observer.measured(point, (left + again) * spent / foreseen)
                too_slow = self._over_budget(point)
                if too_slow and planned is not points[-1]:
                    self._say(
                        f"{configuration.label}: half of the requests exceed the latency budget at concurrency "
                        f"{planned.concurrency}; more was not tried"
                    )
        self._check_best_again(again / CHECKED_AGAIN)

    def _probe(self) -> float:
        """Seconds of one request of the current configuration, after warming up.

        Raises:
            DoesNotRunError: the model does not run.
        """
        started = time.monotonic()
        self._load(self._analysis.subject.current)
        self._load_seconds = time.monotonic() - started
        options = replace(
            self._options, interval_ms=1, max_interval_factor=1, min_requests=PROBE_REQUESTS, max_trials=3
        )
        try:
            found = measure(self._target(), self._requests, 1, options, self._stop)
        except MeasurementError as error:
            raise DoesNotRunError(str(error), fix_of(self._analysis.subject)) from None
        return found.latency_ms(50) / 1000

    def _expected_seconds(self, concurrency: int, latency: float) -> float:
        window = self._options.window_seconds(latency, concurrency)
        warm_up = max(self._options.interval_ms / 2000, min(2 * concurrency * latency, window))
        return warm_up + 3.5 * window  # most points are stable after three windows, some are not

    def _measure_planned(self, planned: PlannedPoint) -> Point | None:
        """Measure; None if the configuration does not load or run, which is recorded."""
        configuration = planned.configuration
        self._observer.measuring(configuration, planned.concurrency, again=False)
        try:
            measurement = self._measure(configuration, planned.concurrency)
        except (ServerError, MeasurementError) as error:
            failure = Failure(configuration, planned.concurrency, str(error))
            self._analysis.failures.append(failure)
            self._observer.failed(failure)
            return None
        return Point(configuration, planned.concurrency, measurement, planned.same)

    def _measure(self, configuration: Configuration, concurrency: int) -> Measurement:
        self._load(configuration)
        return measure(self._target(), self._requests, concurrency, self._options, self._stop)

    def _load(self, configuration: Configuration) -> None:
        if self._stop.is_set():
            raise Stopped
        if self._loaded is configuration:
            return
        if self._loaded is not None:
            self._target().unload()
            self._loaded = None
        complete = self._targets[configuration.rewritten_model].load(configuration.config)
        self._loaded = configuration
        subject = self._analysis.subject
        shapes = {
            t.name: tuple(subject.shapes[t.name][-len(t.dims) :] if -1 in t.dims else t.dims) for t in complete.input
        }
        self._requests = random_requests(complete, shapes, DIFFERENT_REQUESTS)

    def _target(self) -> EngineTarget:
        assert self._loaded is not None
        return self._targets[self._loaded.rewritten_model]

    def _over_budget(self, point: Point) -> bool:
        budget = self._analysis.options.goal.latency_budget_ms
        return budget is not None and point.measurement.latency_ms(50) > budget

    def _check_best_again(self, expected_seconds: float) -> None:
        """Measure the leaders and the current configuration's best a second time, some minutes after the first.

        The best of many noisy measurements is partly the luckiest one; and a machine's mood changes more slowly than
        three windows can show. Both moments' windows count then.
        """
        points = self._analysis.points
        goal = self._analysis.options.goal
        sound = [point for point in points if not point.configuration.wrong_batches] or points
        ranking = best_of_each([point for point in sound if goal.allows(point)] or sound, goal)
        leaders = ranking[: CHECKED_AGAIN - 1]
        leaders += [point for point in ranking[CHECKED_AGAIN - 1 :] if point.configuration.current] or (
            ranking[CHECKED_AGAIN - 1 : CHECKED_AGAIN]
        )
        for done, point in enumerate(leaders, 1):
            self._observer.measuring(point.configuration, point.concurrency, again=True)
            try:
                second = self._measure(point.configuration, point.concurrency)
            except (ServerError, MeasurementError) as error:
                self._observer.failed(Failure(point.configuration, point.concurrency, str(error)))
                continue
            merged = replace(point, measurement=point.measurement.with_repeat(second))
            points[points.index(point)] = merged
            self._observer.measured(merged, expected_seconds * (len(leaders) - done))

    def _say(self, text: str) -> None:
        self._analysis.notes.append(text)
        self._observer.note(text)
