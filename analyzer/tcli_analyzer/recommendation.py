"""Which configuration to take, given what was measured and how far the measurements can be trusted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.measurement import Measurement
from tcli_analyzer.numbers import short

LEAST_NOISE = 0.02


class Objective(StrEnum):
    """What is best: the most inferences per second, or the lowest p99 latency."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"


@dataclass(frozen=True)
class Point:
    """One configuration under one load, measured.

    Attributes:
        same: configurations that run the same way under this load, so that the measurement is theirs, too.
    """

    configuration: Configuration
    concurrency: int
    measurement: Measurement
    same: tuple[Configuration, ...] = ()


@dataclass(frozen=True)
class Goal:
    """What the user wants.

    Attributes:
        latency_budget_ms: the p99 latency that a point may have; None for no limit.
    """

    objective: Objective = Objective.THROUGHPUT
    latency_budget_ms: float | None = None

    def allows(self, point: Point) -> bool:
        return self.latency_budget_ms is None or point.measurement.latency_ms(99) <= self.latency_budget_ms

    def value(self, point: Point) -> float:
        """infer/s, or p99 in ms."""
        if self.objective is Objective.LATENCY:
            return point.measurement.latency_ms(99)
        return point.measurement.throughput

    def best(self, points: Iterable[Point]) -> Point:
        return max(points, key=lambda p: -self.value(p) if self.objective is Objective.LATENCY else self.value(p))

    def gain(self, point: Point, over: Point) -> float:
        """How much better `point` is: 0.1 = 10 % more throughput, or 10 % less latency."""
        one, other = self.value(point), self.value(over)
        return (other - one) / other if self.objective is Objective.LATENCY else (one - other) / other

    def noise(self, *points: Point) -> float:
        """How far apart values can be by chance: the largest relative spread between windows of these points."""
        if self.objective is Objective.LATENCY:
            spreads = [point.measurement.latency_spread(99) for point in points]
        else:
            spreads = [point.measurement.throughput_spread for point in points]
        return max(LEAST_NOISE, *spreads)

    def describe(self) -> str:
        """For titles and file headers: "highest throughput with a p99 latency of at most 50 ms"."""
        what = "lowest p99 latency" if self.objective is Objective.LATENCY else "highest throughput"
        limit = self.latency_budget_ms
        return what if limit is None else f"{what} with a p99 latency of at most {limit:g} ms"


@dataclass(frozen=True)
class Recommendation:
    """What to take.

    Attributes:
        chosen: the recommended configuration, at its best load.
        best: the best measured value; its configuration need not be `chosen`.
        ranking: each candidate's best point, best first.
        equivalent: those of `ranking` that are no further from `best` than its own windows are apart.
        baseline: the current configuration's best point that is within the budget (or its best, if none is).
        gain: of `chosen` over `baseline`, see `Goal.gain`; None without a baseline.
        noise: how large a gain could be chance.
        within_budget: False if nothing measured kept the latency budget.
    """

    goal: Goal
    chosen: Point
    best: Point
    ranking: tuple[Point, ...]
    equivalent: tuple[Point, ...]
    baseline: Point | None
    gain: float | None
    noise: float
    within_budget: bool

    @property
    def keeps_current(self) -> bool:
        return self.chosen.configuration.current

    @property
    def beyond_noise(self) -> bool:
        return self.gain is not None and self.gain > self.noise

    def sentence(self) -> str:
        """One or two sentences for a person."""
        measurement = self.chosen.measurement
        numbers = (
            f"{short(measurement.throughput)} infer/s, p99 {short(measurement.latency_ms(99))} ms "
            f"at concurrency {self.chosen.concurrency}"
        )
        name = self.chosen.configuration.label
        if self.chosen.configuration.wrong_batches:
            return (
                f"Do not keep the current configuration: its batches give other answers than single items. Nothing else "
                f"was measured; set max_batch_size to 1 to be safe. Now: {numbers}."
            )
        if not self.within_budget:
            limit = self.goal.latency_budget_ms
            return f"Nothing measured keeps a p99 latency of {limit:g} ms. The closest is {name}: {numbers}."
        if self.keeps_current:
            return f"Keep the current configuration: {numbers}. {self.comparison()}"
        return f"Take {name}: {numbers}. {self.comparison()}".rstrip()

    def comparison(self) -> str:
        """One sentence on the gain; empty if the current configuration was not measured."""
        if not self.within_budget:
            return "It does not keep the latency budget, and nothing measured does."
        if self.keeps_current:
            return "Nothing measured is better beyond the noise."
        if self.baseline is None or self.gain is None:
            return ""
        if self.baseline.configuration.wrong_batches:
            return "The current configuration's batches give other answers than single items: its numbers do not count."
        if not self.goal.allows(self.baseline):
            return "The current configuration does not keep the latency budget."
        what = "lower p99 latency" if self.goal.objective is Objective.LATENCY else "more throughput"
        chance = "" if self.beyond_noise else f", which can be chance: windows differ by up to {self.noise:.0%}"
        return f"That is {self.gain:.0%} {what} than the current configuration{chance}."


def recommend(points: Sequence[Point], goal: Goal) -> Recommendation | None:
    """Choose: among the configurations within the noise of the best, the current one, else the simplest.

    Only the best one's own noise counts: a configuration does not become a candidate by being noisy itself.
    Simplest means fewest instances (each holds the model in memory), then the smallest maximum batch size. One whose
    batches give wrong answers is no candidate, unless it is all that was measured.

    Returns:
        None if nothing was measured.
    """
    if not points:
        return None
    candidates = [point for point in points if not point.configuration.wrong_batches] or list(points)
    allowed = [point for point in candidates if goal.allows(point)]
    within_budget = bool(allowed)
    goal_used = goal if within_budget else Goal(Objective.LATENCY, goal.latency_budget_ms)
    allowed = allowed or candidates
    ranking = best_of_each(allowed, goal_used)
    best = ranking[0]
    equivalent = tuple(p for p in ranking if p is best or goal_used.gain(best, p) <= goal_used.noise(best))
    chosen = min(equivalent, key=_complexity)
    own = [point for point in points if point.configuration.current]
    own_allowed = [point for point in own if goal.allows(point)] or own
    baseline = goal_used.best(own_allowed) if own_allowed else None
    return Recommendation(
        goal=goal,
        chosen=chosen,
        best=best,
        ranking=tuple(ranking),
        equivalent=equivalent,
        baseline=baseline,
        gain=None if baseline is None else goal_used.gain(chosen, baseline),
        noise=goal_used.noise(chosen, *([baseline] if baseline else [])),
        within_budget=within_budget,
    )


def best_of_each(points: Sequence[Point], goal: Goal) -> list[Point]:
    """Each configuration's best point, best first."""
    groups: dict[Configuration, list[Point]] = {}
    for point in points:
        groups.setdefault(point.configuration, []).append(point)
    contenders = [goal.best(group) for group in groups.values()]
    return sorted(contenders, key=goal.value, reverse=goal.objective is Objective.THROUGHPUT)


def _complexity(point: Point) -> tuple[bool, int, int]:
    configuration = point.configuration
    return not configuration.current, configuration.instances, configuration.max_batch_size
