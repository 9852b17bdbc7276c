"""Which arrangement is best while all models run: one model's choice is changed at a time, whatever that does to the others.

The search begins with everything as it is. What it names is raced against that in the finals, and no claim rests on the search.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from tcli_analyzer.bench.together import CannotMeasureTogetherError, TogetherBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.pairs import TIE
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.space.settings import read_settings
from tcli_analyzer.together.arrangement import Arrangement, Choice
from tcli_analyzer.together.goal import JointGoal
from tcli_analyzer.together.window import JointWindow, clean_ones

REPEATS = 2
"""How often an arrangement is measured again at once that others disturbed."""

_MOST_PASSES = 3
"""Over all models; a pass that changes nothing is the last."""

_REPEATED_SHARE = 0.25
"""Of the time that may go into measuring again."""

_ROOM = 3
"""Measurements that must still fit into the time for one to be made again."""


@dataclass(frozen=True)
class Candidates:
    """What may be tried of a model.

    Attributes:
        choices: the current configuration's first, then others, the most promising first.
        loads: that a choice may have, the lightest first: where a budget is not kept, a lighter one is tried.
        may_win: whether a configuration's answers are right; asked before one is taken.
    """

    choices: tuple[Choice, ...]
    loads: tuple[Load, ...]
    may_win: Callable[[Configuration], bool] = lambda _: True


@dataclass(frozen=True)
class JointFailure:
    """A choice that could not be measured."""

    choice: Choice
    reason: str


@dataclass
class JointFound:
    """What a search found.

    Attributes:
        windows: of each arrangement that was measured, in that order.
        baseline: all current configurations, under loads with which they keep their budgets, if there are such.
        best: the arrangement that seems best; the baseline if nothing seems better.
        rival: what races the baseline: `best`, or the next best where that is the baseline; None where nothing else may win.
        stopped: the user asked to stop.
        in_time: whether the search came to its end by itself.
    """

    windows: dict[Arrangement, list[JointWindow]] = field(default_factory=dict)
    baseline: Arrangement | None = None
    best: Arrangement | None = None
    rival: Arrangement | None = None
    failures: list[JointFailure] = field(default_factory=list)
    stopped: bool = False
    in_time: bool = True


@dataclass(frozen=True)
class SearchTold:
    """What whoever follows a search is told after each measurement.

    Attributes:
        gain: over the baseline, relative; None of the baseline itself.
        over_budget: models that do not keep their budgets.
    """

    arrangement: Arrangement
    windows: Sequence[JointWindow]
    gain: float | None
    over_budget: Sequence[str]
    seconds_left: float


class _TimeUpError(Exception):
    """The search's time is up."""


class JointSearch:
    """Searches.

    Args:
        candidates: of each model, in the order of the arrangement.
        options: of a visit.
        seconds: that it takes at most, about.
        tie: what gains no more is not worth a change.
        told: after each measurement.
        failed: told of what cannot be measured.
        clock: seconds.
    """

    def __init__(
        self,
        bench: TogetherBench,
        candidates: Mapping[str, Candidates],
        goal: JointGoal,
        options: VisitOptions,
        seconds: float,
        tie: float = TIE,
        told: Callable[[SearchTold], None] = lambda _: None,
        failed: Callable[[JointFailure], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bench = bench
        self._candidates = candidates
        self._goal = goal
        self._options = options
        self._seconds = seconds
        self._tie = tie
        self._told = told
        self._tell_failure = failed
        self._clock = clock
        self._began = clock()
        self._measured_seconds = self._repeated_seconds = 0.0
        self._restless = False
        self._bad: set[Configuration] = set()
        self.found = JointFound()

    def run(self) -> JointFound:
        """Search. What could be measured of it is there in any case, see `JointFound.stopped`.

        Raises:
            CannotMeasureTogetherError: not even the current configurations can be measured together.
        """
        found = self.found
        try:
            self._baseline()
            self._search()
        except _TimeUpError:
            found.in_time = False
        except Stopped:
            found.stopped = True
        try:
            found.rival = self._rival() if not found.stopped else None
        except Stopped:
            found.stopped = True
        return found

    def _rival(self) -> Arrangement | None:
        if self.found.best is not self.found.baseline:
            return self.found.best
        others = [one for one in self.found.windows if not one.is_current]
        ranked = sorted(others, key=self._score, reverse=True)
        return next((one for one in ranked if self._may_win(one)), None)

    def _baseline(self) -> None:
        current = Arrangement(tuple(one.choices[0] for one in self._candidates.values()))
        tried = [choice for one in self._candidates.values() for choice in one.choices]
        self._bench.hold([current.having([choice]) for choice in tried])
        try:
            self._measure(current)
            self.found.baseline = self.found.best = current
            while lighter := self._lighter(current):
                self._measure(lighter)
                current = lighter
                if self._score(current) > self._score(self.found.baseline):
                    self.found.baseline = self.found.best = current
        except CannotMeasureTogetherError as error:
            self._fail(error)
            raise

    def _search(self) -> None:
        assert self.found.best is not None
        self._begin_elsewhere()
        for _ in range(_MOST_PASSES):
            before = self.found.best
            for model in self._by_weight():
                self._improve(model)
            if self.found.best is before:
                return

    def _begin_elsewhere(self) -> None:
        """What is best for each model alone, and what is most modest for each: changing one after the other may not lead there."""
        baseline = self.found.baseline
        assert baseline is not None
        firsts = [one.choices[1] for one in self._candidates.values() if len(one.choices) > 1]
        modest = [min(one.choices, key=_greed) for one in self._candidates.values()]
        for changed in (firsts, modest):
            self._consider(baseline.having(changed))

    def _by_weight(self) -> list[str]:
        return sorted(self._candidates, key=lambda model: -self._goal.weights[model])

    def _improve(self, model: str) -> None:
        """Take this model's best candidate, the others being as they are."""
        for choice in self._candidates[model].choices:
            best = self.found.best
            assert best is not None
            if best.of(model).configuration is not choice.configuration:
                self._consider(best.having([choice]))

    def _consider(self, arrangement: Arrangement) -> None:
        """Take it if it is better than the best so far, under lighter loads if it does not keep the budgets."""
        tried: Arrangement | None = arrangement
        while tried is not None:
            if not self._is_possible(tried):
                return
            try:
                self._measure(tried)
            except CannotMeasureTogetherError as error:
                self._fail(error)
                return
            if self._is_better(tried) and self._may_win(tried):
                self.found.best = tried
            tried = self._lighter(tried)

    def _fail(self, error: CannotMeasureTogetherError) -> None:
        self._bad.add(error.choice.configuration)
        failure = JointFailure(error.choice, str(error))
        self.found.failures.append(failure)
        self._tell_failure(failure)

    def _is_possible(self, arrangement: Arrangement) -> bool:
        known = arrangement in self.found.windows
        return not known and not any(choice.configuration in self._bad for choice in arrangement.choices)

    def _may_win(self, arrangement: Arrangement) -> bool:
        return all(self._candidates[one.model].may_win(one.configuration) for one in arrangement.choices)

    def _lighter(self, arrangement: Arrangement) -> Arrangement | None:
        """With the next lighter load for each model that does not keep its budget; None where there is no such."""
        over = self._goal.over_budget(self.found.windows[arrangement])
        changed = []
        for model in over:
            choice, loads = arrangement.of(model), self._candidates[model].loads
            place = loads.index(choice.load) if choice.load in loads else 0
            if place:
                changed.append(replace(choice, load=loads[place - 1]))
        if not changed:
            return None
        lighter = arrangement.having(changed)
        return lighter if lighter not in self.found.windows else None

    def _is_better(self, arrangement: Arrangement) -> bool:
        best = self.found.best
        assert best is not None
        kept, value = self._score(arrangement)
        best_kept, best_value = self._score(best)
        return kept > best_kept or (kept == best_kept and value > best_value + math.log1p(self._tie))

    def _score(self, arrangement: Arrangement) -> tuple[int, float]:
        """How many break their budgets or give wrong answers, below 0, and the logarithm of the value."""
        windows = self.found.windows[arrangement]
        value = median(self._goal.value(window) for window in clean_ones(windows))
        return -len(self._goal.over_budget(windows)) - len(arrangement.wrong), math.log(value)

    @property
    def _left(self) -> float:
        """Seconds. What a journal answers counts as when it was measured, so that the search goes the same way."""
        return self._seconds - max(self._measured_seconds, self._clock() - self._began)

    def _measure(self, arrangement: Arrangement) -> None:
        """Again, where others disturbed and there is time; on a machine that does not become quiet that is of no use."""
        found = self.found.windows
        if found and self._left <= 0:
            raise _TimeUpError
        tries = 1 if self._restless else 1 + REPEATS
        for again in range(tries):
            before = self._clock()
            windows = self._bench.visit(arrangement, self._options)
            found.setdefault(arrangement, []).extend(windows)
            cost = max(self._clock() - before, sum(window.seconds for window in windows))
            self._measured_seconds += cost
            self._repeated_seconds += cost if again else 0.0
            self._restless = not any(window.is_clean for window in windows)
            if not self._restless or self._left < _ROOM * cost:
                break
            if self._repeated_seconds + cost > _REPEATED_SHARE * self._seconds:
                break
        self._tell(arrangement)

    def _tell(self, arrangement: Arrangement) -> None:
        windows = self.found.windows[arrangement]
        gain = None
        if self.found.baseline is not None:
            gain = math.expm1(self._score(arrangement)[1] - self._score(self.found.baseline)[1])
        over = self._goal.over_budget(windows)
        self._told(SearchTold(arrangement, windows, gain, over, max(0.0, self._left)))


def _greed(choice: Choice) -> tuple[int, int]:
    """How much of the machine it asks for: instances, then whether their threads are all they can get."""
    threads = read_settings(choice.configuration.config).threads
    return choice.configuration.instances, threads or 1 << 20
