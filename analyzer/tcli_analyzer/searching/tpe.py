"""Search by Optuna's tree-structured Parzen estimator, which knows nothing of queues."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from time import monotonic
from typing import Any

from tcli_analyzer.bench import Bench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.point import Point
from tcli_analyzer.searching import SearchWatch
from tcli_analyzer.searching.field import Field, Spot
from tcli_analyzer.searching.found import Found
from tcli_analyzer.searching.points import Points
from tcli_analyzer.searching.progress import Progress
from tcli_analyzer.searching.visits import Clock, Ended, Visits

_TRIALS_FOR_A_POINT = 10
"""Trials at most for each point to measure: the sampler may ask for what it knows already, again and again."""


class OptunaMissingError(Exception):
    """Optuna is not installed; the message says how to install it."""


@dataclass(frozen=True)
class OptunaOptions:
    """How much is measured.

    Attributes:
        points: at most; None for a fifth of the field, at least 10.
        seconds: that the search takes at most, about.
        seed: of the sampler.
    """

    points: int | None = None
    seconds: float = 100.0
    seed: int = 0


class OptunaSearch:
    """Tries points where Optuna expects good ones.

    Args:
        clock: seconds.

    Raises:
        OptunaMissingError: it is not installed.
    """

    def __init__(self, options: OptunaOptions | None = None, clock: Clock = monotonic) -> None:
        if find_spec("optuna") is None:
            raise OptunaMissingError("--search optuna needs the package optuna: pip install 'tcli[optuna]'")
        self._options = options or OptunaOptions()
        self._clock = clock

    def run(self, field: Field, bench: Bench, watch: SearchWatch) -> Found:
        """As `Search.run`."""
        visits = Visits(bench, watch.goes_on, self._options.seconds, field.items, self._clock)
        points = Points(field)
        wanted = min(self._options.points or max(10, math.ceil(field.size / 5)), len(field.spots))
        options = VisitOptions(windows=2, items=field.items)
        progress = Progress(watch, visits)
        progress.plan(wanted, field.size, wanted * (visits.cost(field.loads[0], options, 50.0)))
        bench.hold(())
        stopped = False
        try:
            _Trials(field, visits, points, progress, self._options.seed).run(wanted, options)
        except Ended:
            pass
        except Stopped:
            stopped = True
        progress.tell_failures()
        return Found(
            points=points.all,
            failures=visits.failures,
            leaders=points.leaders(points.score),
            current=points.current(points.score),
            size=field.size,
            windows=visits.count,
            load_seconds=visits.load_seconds,
            stopped=stopped,
        )


class _Trials:
    def __init__(self, field: Field, visits: Visits, points: Points, progress: Progress, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._failed = optuna.trial.TrialState.FAIL
        self._field, self._visits, self._points, self._progress = field, visits, points, progress
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._spots: dict[tuple[Configuration, Load], Spot] = {
            (configuration, spot.load): spot
            for spot in field.spots
            for configuration in (spot.configuration, *spot.same)
        }
        # In order of size, so that what is near is alike.
        self._groups = [sorted(members, key=lambda one: one.max_batch_size) for members in field.groups]

    def run(self, wanted: int, options: VisitOptions) -> None:
        own = self._parameters_of_current()
        if own is not None:
            self._study.enqueue_trial(own)
        for _ in range(_TRIALS_FOR_A_POINT * wanted):
            if len(self._points.windows) >= wanted or self._visits.seconds_left <= 0:
                return
            trial = self._study.ask()
            spot = self._suggested(trial)
            if spot not in self._points.windows and not self._visits.has_failed(spot.configuration):
                self._measure(spot, options, wanted)
            if spot in self._points.windows:
                self._study.tell(trial, self._worth(self._points.point(spot)))
            else:
                self._study.tell(trial, state=self._failed)

    def _suggested(self, trial: Any) -> Spot:
        groups = len(self._groups)
        group = trial.suggest_categorical("group", list(range(groups))) if groups > 1 else 0
        members = self._groups[group]
        configuration = members[trial.suggest_int(f"configuration of {group}", 0, len(members) - 1)]
        load = self._field.loads[trial.suggest_int("load", 0, len(self._field.loads) - 1)]
        return self._spots[configuration, load]

    def _parameters_of_current(self) -> Mapping[str, int] | None:
        """So that the current configuration is tried first, in the middle of the loads."""
        for number, members in enumerate(self._groups):
            for index, configuration in enumerate(members):
                if configuration.current:
                    return {"group": number, f"configuration of {number}": index, "load": len(self._field.loads) // 2}
        return None

    def _measure(self, spot: Spot, options: VisitOptions, wanted: int) -> None:
        done = len(self._points.windows)
        each = self._visits.spent / done if done else self._visits.cost(spot.load, options, 50.0)
        self._progress.begin(spot.label, min((wanted - done) * each, self._visits.seconds_left))
        windows = self._visits.measure(spot.configuration, spot.load, options)
        if windows:
            left = min((wanted - done - 1) * each, self._visits.seconds_left)
            self._progress.done(self._points.add(spot, windows), left)

    def _worth(self, point: Point) -> float:
        """What is over the budget is worse the further it is."""
        measured = point.measured
        if self._field.is_kept(measured) is False:
            return -measured.percentile(self._field.percentile).value
        return self._field.value(measured)
