"""A whole analysis: examine the model, search, let the best race each other, recommend."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime

from tcli_analyzer.analysis import Analysis, Observer
from tcli_analyzer.bench import Bench
from tcli_analyzer.bench.journaled import FINAL, JournaledBench
from tcli_analyzer.bench.watched import WatchedBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.finals import MOST_FINALISTS, run_finals
from tcli_analyzer.goal import Goal
from tcli_analyzer.ground import Ground
from tcli_analyzer.ground.local import local_ground
from tcli_analyzer.ground.remote import remote_ground
from tcli_analyzer.identity import identity_of
from tcli_analyzer.journal import AlreadyEndedError, Journal
from tcli_analyzer.load import Load
from tcli_analyzer.machine import this_machine
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.watch import Stopped
from tcli_analyzer.notes import result_notes
from tcli_analyzer.observed_search import ObservedSearch
from tcli_analyzer.options import AnalysisOptions, SearchKind
from tcli_analyzer.point import Point
from tcli_analyzer.rate.choice import rate_candidates
from tcli_analyzer.rate.probing import RateOptions
from tcli_analyzer.rate.search import RateProgress
from tcli_analyzer.rate.several import favourite, find_rates, starts_of
from tcli_analyzer.searching import Search
from tcli_analyzer.searching.field import Field
from tcli_analyzer.searching.found import Failure, Found
from tcli_analyzer.searching.grid import GridSearch
from tcli_analyzer.searching.quick import QuickOptions, QuickSearch
from tcli_analyzer.time_limit import TimeLimit
from tcli_analyzer.workspace import Workspace

USUAL_WINDOW_SECONDS = 0.5
LEADERS = 2

_MOST_COMPARED = 6
"""Leaders whose answers are compared until two are found that may win."""

_NEAR_TIES = 2
"""A configuration that the search saw within so many ties of the best may be as good, and is simpler perhaps."""


def analyze(
    options: AnalysisOptions, workspace: Workspace | None, observer: Observer, stop: threading.Event
) -> Analysis:
    """Run the analysis.

    Args:
        workspace: entered by the caller, who can take the rewritten model file from it before leaving; None for a server.
        stop: set it, from any thread, to end early with what was measured until then.

    Raises:
        ServerError: the model cannot be loaded as it is.
        RemoteError: the server cannot be asked, or takes no configurations.
        DataError: inputs are wrong, or the model takes none that were tried.
        SpaceError: what is to be tried is too much, or cannot be had here.
        UnknownInputError: a shape does not fit the model.
        JournalError: the journal cannot be gone on with.
        AlreadyEndedError: see `AnalysisOptions.ends_as_before`.
        OSError: the journal cannot be written.
        Stopped: the user stopped it before anything was measured.
    """
    limit = TimeLimit(options.most_seconds)
    with _ground(options, workspace, observer, stop) as ground:
        analysis = Analysis(
            options,
            ground.subject,
            this_machine(),
            datetime.now().astimezone(),
            ground.where,
            ground.variants.configurations,
        )
        analysis.notes += ground.notes
        for note in ground.notes:
            observer.note(note)
        stretch = options.window_seconds / USUAL_WINDOW_SECONDS
        watched = WatchedBench(ground.bench, stop, options.patience_seconds, stretch, ground.measured)
        analysis.neighbours = watched.neighbours
        with _kept(watched, ground, analysis) as bench:
            try:
                _Stages(analysis, ground, bench, observer, stop, limit).run()
            except Stopped:
                analysis.interrupted = True
            analysis.generator = ground.limit()
            analysis.resumed = bench.resumed if isinstance(bench, JournaledBench) else 0
    analysis.notes += result_notes(analysis)
    analysis.seconds = limit.spent
    return analysis


def _ground(
    options: AnalysisOptions, workspace: Workspace | None, observer: Observer, stop: threading.Event
) -> AbstractContextManager[Ground]:
    if options.server is not None:
        return remote_ground(options, options.server, observer.note, observer.warn, stop)
    assert workspace is not None
    return local_ground(options, workspace, observer.note, stop)


@contextmanager
def _kept(bench: Bench, ground: Ground, analysis: Analysis) -> Iterator[Bench]:
    options = analysis.options
    analysis.identity = identity_of(ground, options, analysis.machine)
    if options.journal is None:
        yield bench
        return
    with Journal(options.journal, analysis.identity, options.resume) as journal:
        if options.ends_as_before and journal.ended is not None:
            raise AlreadyEndedError
        yield JournaledBench(bench, journal)


class _Stages:
    """Search, comparison of answers, finals, rates: each on what the one before left."""

    def __init__(
        self,
        analysis: Analysis,
        ground: Ground,
        bench: Bench,
        observer: Observer,
        stop: threading.Event,
        limit: TimeLimit,
    ) -> None:
        self._analysis = analysis
        self._options = analysis.options
        self._ground = ground
        self._bench = bench
        self._observer = observer
        self._stop = stop
        self._limit = limit

    def run(self) -> None:
        self._begin("search")
        searches = self._ground.loads.items()
        for number, (items, loads) in enumerate(searches, 1):
            self._search(items, loads, len(searches) - number)
        finalists = self._finalists()
        self._begin(FINAL)
        if finalists:
            self._race(finalists)
        self._begin("rate")
        if self._options.slo is not None and self._analysis.finals is not None:
            self._find_rates()

    def _begin(self, stage: str) -> None:
        if isinstance(self._bench, JournaledBench):
            self._bench.stage = stage

    def _search(self, items: int, loads: tuple[Load, ...], more: int) -> None:
        """For requests of so many items, with searches for others to come."""
        options, goal = self._options, self._options.goal
        field = Field(
            self._ground.variants.configurations,
            loads,
            goal.value,
            goal.keeps if goal.latency_budget_ms is not None else None,
            items=items,
        )
        finals = options.finals_seconds if len(field.fitting) > 1 else 0.0
        later = more * options.search_seconds + finals + self._rate_seconds
        seconds = self._limit.share(options.search_seconds, later)
        after = later * seconds / options.search_seconds
        search = search_of(replace(options, search_seconds=seconds))
        found = search.run(field, self._bench, ObservedSearch(self._observer, self._stop, after))
        self._take(found)
        if found.stopped:
            raise Stopped

    def _take(self, found: Found) -> None:
        analysis = self._analysis
        analysis.points += found.points
        analysis.checks += found.checks
        analysis.failures += found.failures
        analysis.size += found.size
        analysis.leaders += found.leaders
        analysis.prediction = analysis.prediction or found.prediction
        if found.prediction is not None:
            self._say(found.prediction.sentence())
            told = (found.prediction.fallback, *found.prediction.notes)  # while the search ran
            analysis.notes += [note for note in told if note and note not in analysis.notes]

    def _finalists(self) -> list[Point]:
        """The current configuration first, then the model's defaults and leaders whose answers are right."""
        analysis, goal = self._analysis, self._options.goal
        own = [point for point in analysis.points if point.configuration.current]
        current = [max(own, key=lambda point: (not point.flaw, *_rank(point, goal)))] if own else []
        leaders = self._right_ones(self._candidates())
        default = analysis.subject.default
        models = [*leaders, *current]
        plain: list[Point] = []
        if default is not None and models and max(1, default.max_batch_size) >= models[0].items:
            plain = self._right_ones([replace(models[0], configuration=default, same=())])
        return [*current, *plain, *leaders][:MOST_FINALISTS]

    def _candidates(self) -> list[Point]:
        """Leaders as the search has them; among those that are about as good, the simplest comes second."""
        analysis, goal = self._analysis, self._options.goal
        leaders = sorted(analysis.leaders, key=lambda point: _rank(point, goal), reverse=True)
        if len(self._ground.loads) == 1:
            leaders = analysis.leaders
        leaders = [point for point in leaders if not point.configuration.wrong_batches]
        if not leaders:
            return []
        least = goal.value(leaders[0].measured) * (1 - _NEAR_TIES * self._options.tie)
        kept = goal.allows(leaders[0].measured)
        near = [
            point for point in leaders if goal.value(point.measured) >= least and goal.allows(point.measured) >= kept
        ]
        simplest = min(near, key=lambda point: (point.configuration.instances, point.configuration.max_batch_size))
        first = [leaders[0], *([simplest] if simplest is not leaders[0] else [])]
        first = [*self._favourite(leaders), *first]
        others = [point for point in leaders if all(point is not other for other in first)]
        return list({point.configuration: point for point in [*first, *others]}.values())

    def _favourite(self, leaders: list[Point]) -> list[Point]:
        """What is predicted to take the highest rate, where that decides; it need not have the most throughput."""
        analysis, slo = self._analysis, self._options.slo
        if slo is None or analysis.prediction is None:
            return []
        found = favourite(analysis.configurations, analysis.prediction.tables, slo, leaders[0].items)
        if found is None or found.current:
            return []
        measured = [point for point in [*leaders, *analysis.points] if point.configuration is found]
        return [measured[0] if measured else replace(leaders[0], configuration=found, same=())]

    def _right_ones(self, candidates: list[Point]) -> list[Point]:
        """The first of them that give the original's answers."""
        found: list[Point] = []
        for point in candidates[:_MOST_COMPARED]:
            configuration = point.configuration
            if configuration.changes_numbers and self._ground.guard is not None:
                accuracy = self._ground.guard.check([configuration])[configuration]
                self._analysis.accuracy[configuration] = accuracy
                if not accuracy.may_win:
                    self._say(f"{configuration.label} cannot win: {accuracy.reason}")
                    continue
            found.append(point)
            if len(found) == LEADERS:
                break
        return found

    def _race(self, finalists: list[Point]) -> None:
        self._observer.racing(finalists)
        options = self._options
        finals = run_finals(
            self._bench,
            finalists,
            options.goal,
            VisitOptions(),
            options.tie,
            self._limit.share(options.finals_seconds, self._rate_seconds),
            lambda race, left: self._observer.raced(race, left + self._rate_seconds),
        )
        analysis = self._analysis
        analysis.finals = finals
        for point, message in finals.failures:
            failure = Failure(point.configuration, point.load, message)
            analysis.failures.append(failure)
            self._observer.failed(failure)
        if finals.interrupted:
            raise Stopped

    def _find_rates(self) -> None:
        """Of the finalists that may take most, the current one among them."""
        analysis, options = self._analysis, self._options
        slo, recommendation = options.slo, analysis.recommendation
        assert slo is not None
        candidates = rate_candidates(recommendation, analysis.subject.default) if recommendation is not None else []
        if not candidates:
            return
        wanted = [point.configuration for point in candidates]
        items = candidates[0].items
        tables = analysis.prediction.tables if analysis.prediction is not None else None
        rate_options = RateOptions(
            items=items,
            distribution=options.distribution,
            gaps_seconds=options.gaps_seconds,
            seed=options.seed,
            sequences=candidates[0].load.sequences,
        )

        def watch(of: Configuration, progress: RateProgress) -> bool:
            estimate = progress.estimate
            about = f", about {estimate.rate:.4g} requests/s so far" if estimate is not None else ""
            self._observer.rated(of, f"{progress.requests:,} requests{about}")
            return not self._stop.is_set()

        def failed(configuration: Configuration, message: str) -> None:
            failure = Failure(configuration, None, message)
            analysis.failures.append(failure)
            self._observer.failed(failure)
            if not configuration.current:  # of which nothing is known then, so that nothing is proven to take more
                analysis.rated.remove(configuration)

        analysis.rated = list(wanted)
        starts = starts_of(wanted, analysis.configurations, tables, slo, items)
        seconds = self._limit.share(options.rate_seconds)
        find_rates(self._bench, wanted, slo, starts, rate_options, seconds, watch, failed, analysis.rates)
        for configuration, rate in analysis.rates.items():
            self._say(f"{configuration.label} {rate.sentence}")
        if self._stop.is_set():
            raise Stopped

    @property
    def _rate_seconds(self) -> float:
        return self._options.rate_seconds if self._options.slo is not None else 0.0

    def _say(self, text: str) -> None:
        if text:
            self._analysis.notes.append(text)
            self._observer.note(text)


def search_of(options: AnalysisOptions) -> Search:
    """The search that is wanted.

    Raises:
        MissingOptunaError: Optuna is wanted, and not installed.
    """
    if options.search is SearchKind.GRID:
        return GridSearch()
    if options.search is SearchKind.OPTUNA:
        from tcli_analyzer.searching.tpe import OptunaOptions, OptunaSearch  # an extra

        return OptunaSearch(OptunaOptions(seconds=options.search_seconds, seed=options.seed))
    return QuickSearch(QuickOptions(seconds=options.search_seconds))


def _rank(point: Point, goal: Goal) -> tuple[bool, float]:
    return goal.allows(point.measured), goal.value(point.measured)
