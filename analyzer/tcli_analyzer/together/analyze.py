"""A whole analysis of several models: each searched alone, then all together, then the finals."""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from tcli_analyzer.analysis import Observer
from tcli_analyzer.analyze import USUAL_WINDOW_SECONDS, search_of
from tcli_analyzer.bench import Bench, CannotMeasureError
from tcli_analyzer.bench.journaled import JournaledBench
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.bench.together import CannotMeasureTogetherError, LocalTogetherBench, TogetherBench
from tcli_analyzer.bench.watched import WatchedBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.goal import Goal
from tcli_analyzer.ground import Ground
from tcli_analyzer.ground.local import local_ground
from tcli_analyzer.identity import identity_of
from tcli_analyzer.journal import Journal
from tcli_analyzer.load import Load
from tcli_analyzer.machine import Machine, this_machine
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.observed_search import ObservedSearch
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.point import Point
from tcli_analyzer.searching.field import Field
from tcli_analyzer.space.settings import read_settings
from tcli_analyzer.time_limit import TimeLimit
from tcli_analyzer.together.analysis import Part, TogetherAnalysis
from tcli_analyzer.together.candidates import Room, candidates
from tcli_analyzer.together.finals import run_joint_finals
from tcli_analyzer.together.journaled import JournaledTogetherBench
from tcli_analyzer.together.options import TogetherOptions
from tcli_analyzer.together.search import Candidates, JointSearch
from tcli_analyzer.together.telling import failure_text, told_text
from tcli_analyzer.workspace import Workspace

_SECONDS, _LONGEST_SECONDS = 0.5, 2.0
_REQUESTS = 12
"""Of the slowest model, that a window has if all get an equal part of the machine and it is not longer than it may be."""

_FINAL_TIMES = 1.5
"""How much longer the windows of the finals are."""


class PartError(Exception):
    """One of the models cannot be examined.

    Attributes:
        options: that model's.
        cause: as of `analyze`.
    """

    def __init__(self, options: AnalysisOptions, cause: Exception) -> None:
        super().__init__(f"{options.model}: {cause}")
        self.options = options
        self.cause = cause


class NothingMeasuredError(CannotMeasureError):
    """A model's current configuration cannot be measured, alone or together with the others'; the message says whose and why.

    Attributes:
        analysis: with what was measured until then, and all that failed.
    """

    def __init__(self, message: str, analysis: TogetherAnalysis) -> None:
        super().__init__(message)
        self.analysis = analysis


def analyze_together(
    options: TogetherOptions, workspaces: Mapping[str, Workspace], observer: Observer, stop: threading.Event
) -> TogetherAnalysis:
    """Run the analysis.

    Args:
        workspaces: each model's, entered by the caller, who can take rewritten model files from them before leaving.
        stop: set it, from any thread, to end early with what was measured until then.

    Raises:
        Stopped: the user stopped it before the models were measured together.
        NothingMeasuredError: a model's current configuration cannot be measured, alone or together with the others'.
        PartError: what `analyze` raises, of one of the models.
        JournalError, OSError: as `analyze`.
    """
    limit = TimeLimit(options.most_seconds)
    analysis = TogetherAnalysis(options, this_machine(), datetime.now().astimezone())
    with ExitStack() as stack:
        grounds = {}
        for one in options.models:
            observer.note(f"model {one.model}:")
            try:
                ground = stack.enter_context(local_ground(one, workspaces[one.model], observer.note, stop))
            except Stopped:
                raise
            except Exception as error:
                raise PartError(one, error) from error
            grounds[one.model] = ground
            analysis.parts[one.model] = Part(ground.subject)
            analysis.notes += [f"{one.model}: {note}" for note in ground.notes]
            for note in ground.notes:
                observer.note(note)
        journal = None
        if options.journal is not None:
            identity = _identity(options, grounds, analysis.machine)
            journal = stack.enter_context(Journal(options.journal, identity, options.resume))
        try:
            _Stages(analysis, grounds, journal, observer, stop, limit).run()
        except CannotMeasureError as error:
            raise NothingMeasuredError(str(error), _ended(analysis, limit)) from None
    return _ended(analysis, limit)


def _ended(analysis: TogetherAnalysis, limit: TimeLimit) -> TogetherAnalysis:
    analysis.notes += analysis.result_notes()
    analysis.seconds = limit.spent
    return analysis


def _identity(options: TogetherOptions, grounds: Mapping[str, Ground], machine: Machine) -> dict[str, object]:
    each = {one.model: identity_of(grounds[one.model], one, machine) for one in options.models}
    found: dict[str, object] = {f"{key} of {model}": value for model, of in each.items() for key, value in of.items()}
    return {**found, "models": list(options.names), "weights": dict(options.weights)}


class _Stages:
    def __init__(
        self,
        analysis: TogetherAnalysis,
        grounds: Mapping[str, Ground],
        journal: Journal | None,
        observer: Observer,
        stop: threading.Event,
        limit: TimeLimit,
    ) -> None:
        self._analysis = analysis
        self._options = analysis.options
        self._grounds = grounds
        self._journal = journal
        self._observer = observer
        self._stop = stop
        self._limit = limit
        self._stretch = analysis.options.window_seconds / USUAL_WINDOW_SECONDS

    def run(self) -> None:
        analysis, options = self._analysis, self._options
        tried = {}
        for number, one in enumerate(options.models, 1):
            alone = [other.search_seconds for other in options.models[number:]]
            after = sum(alone) + options.search_seconds + options.finals_seconds
            seconds = self._limit.share(one.search_seconds, after) / len(self._grounds[one.model].loads)
            tried[one.model] = self._candidates(replace(one, search_seconds=seconds), after)
        benches = {model: ground.bench for model, ground in self._grounds.items()}
        local = {model: bench for model, bench in benches.items() if isinstance(bench, LocalBench)}
        together = LocalTogetherBench(local, self._stop, options.patience_seconds, self._stretch)
        analysis.neighbours = together.neighbours
        bench: TogetherBench = together
        if self._journal is not None:
            bench = JournaledTogetherBench(together, self._journal)
        self._search(bench, tried)
        if isinstance(bench, JournaledTogetherBench):
            analysis.resumed += bench.resumed

    def _search(self, bench: TogetherBench, tried: Mapping[str, Candidates]) -> None:
        analysis, options, observer = self._analysis, self._options, self._observer
        names = " and ".join(options.names)
        seconds = self._limit.share(options.search_seconds, options.finals_seconds)
        observer.note(f"{names} together, at most {seconds:.0f} s:")
        visits = self._visit_options(tried)
        search = JointSearch(
            bench,
            tried,
            options.goal,
            visits,
            seconds,
            options.tie,
            lambda told: observer.note(told_text(told)),
            lambda failure: observer.note(failure_text(failure)),
        )
        found = analysis.found = search.found
        try:
            search.run()
        except CannotMeasureTogetherError as error:
            label = error.choice.label
            raise CannotMeasureError(
                f"the current configurations cannot be measured together: {label}: {error}"
            ) from None
        if found.baseline is None:
            raise Stopped
        if found.rival is not None:
            observer.note(f"finals: all as it is, against {found.rival.label}")
        finals = run_joint_finals(
            bench,
            found.baseline,
            found.rival,
            options.goal,
            replace(visits, seconds=_FINAL_TIMES * visits.seconds),
            options.tie,
            self._limit.share(options.finals_seconds),
            observer.raced,
        )
        analysis.finals = replace(finals, interrupted=finals.interrupted or found.stopped)
        analysis.interrupted = analysis.finals.interrupted

    def _candidates(self, options: AnalysisOptions, after: float) -> Candidates:
        """By a search of the model alone, with so many seconds of other searches and the finals to come."""
        model, ground, part = options.model, self._grounds[options.model], self._analysis.parts[options.model]
        bench = self._alone(options)
        leaders: list[Point] = []
        self._observer.note(f"{model} alone:")
        for number, (items, loads) in enumerate(ground.loads.items(), 1):
            rest = after + (len(ground.loads) - number) * options.search_seconds
            found = search_of(options).run(
                self._field(options, ground, loads, items), bench, ObservedSearch(self._observer, self._stop, rest)
            )
            part.points += found.points
            part.failures += found.failures
            leaders += found.leaders
            if found.stopped:
                raise Stopped
        if isinstance(bench, JournaledBench):
            self._analysis.resumed += bench.resumed
        bench.hold(())
        current = max(
            (point for point in part.points if point.configuration.current),
            key=lambda point: _rank(point, options.goal),
            default=None,
        )
        if current is None:
            reason = next((one.reason for one in part.failures if one.configuration.current), "it was not measured")
            raise CannotMeasureError(f"the current configuration of '{model}' cannot be measured alone: {reason}")
        if len(ground.loads) > 1:
            leaders.sort(key=lambda point: _rank(point, options.goal), reverse=True)
        loads_there = ground.loads[current.items]
        found_ones = candidates(model, current, leaders, loads_there, self._room(options, ground), self._judge(ground))
        part.candidates = found_ones
        return found_ones

    def _alone(self, options: AnalysisOptions) -> Bench:
        ground = self._grounds[options.model]
        watched = WatchedBench(ground.bench, self._stop, options.patience_seconds, self._stretch)
        if self._journal is None:
            return watched
        kept = JournaledBench(watched, self._journal)
        kept.stage = options.model
        return kept

    def _field(self, options: AnalysisOptions, ground: Ground, loads: tuple[Load, ...], items: int) -> Field:
        goal = options.goal
        keeps = goal.keeps if goal.latency_budget_ms is not None else None
        return Field(ground.variants.configurations, loads, goal.value, keeps, items=items)

    def _room(self, options: AnalysisOptions, ground: Ground) -> Room:
        cores = self._analysis.machine.cores
        own = read_settings(ground.subject.base)
        share = max(1, cores // len(self._grounds))
        return Room(cores, share, own, options.space.instances, options.space.threads)

    def _judge(self, ground: Ground) -> Callable[[Configuration], bool]:
        known: dict[Configuration, bool] = {}

        def may_win(configuration: Configuration) -> bool:
            if configuration not in known:
                known[configuration] = self._is_right(ground, configuration)
            return known[configuration]

        return may_win

    def _is_right(self, ground: Ground, configuration: Configuration) -> bool:
        if configuration.wrong_batches:
            return configuration.current
        if not configuration.changes_numbers or ground.guard is None:
            return True
        accuracy = ground.guard.check([configuration])[configuration]
        if not accuracy.may_win:
            note = f"{ground.subject.folder.name}: {configuration.label} cannot win: {accuracy.reason}"
            self._analysis.notes.append(note)
            self._observer.note(note)
        return accuracy.may_win

    def _visit_options(self, tried: Mapping[str, Candidates]) -> VisitOptions:
        """Windows with answers enough of the slowest model."""
        rates = []
        for model, one in tried.items():
            own = one.choices[0]
            measured = next(
                point.measured
                for point in self._analysis.parts[model].points
                if point.configuration is own.configuration and point.load == own.load and point.items == own.items
            )
            rates.append(measured.throughput / own.items / len(tried))
        seconds = min(_LONGEST_SECONDS, max(_SECONDS, _REQUESTS / max(1e-6, min(rates))))
        return VisitOptions(windows=2, seconds=round(seconds, 2), requests=4, longest=4.0, warm_up_seconds=0.35)


def _rank(point: Point, goal: Goal) -> tuple[bool, float]:
    return goal.allows(point.measured), goal.value(point.measured)
