"""Which configuration to take, given what was proven, and what is said of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.pairs import LEAST_PAIRS, Comparison, Verdict
from tcli_analyzer.finals import Finals
from tcli_analyzer.goal import Goal
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point


class Outcome(StrEnum):
    """What kind of an answer it is."""

    TAKE = "take"
    KEEP = "keep"
    UNDECIDED = "undecided"
    OVER_BUDGET = "over budget"
    WRONG_BATCHES = "wrong batches"


@dataclass(frozen=True)
class Recommendation:
    """What to take.

    Attributes:
        chosen: the recommended configuration, with the windows of the finals; for UNDECIDED the one that stays meanwhile.
        baseline: the current configuration's finalist, where it was one.
        gain: of `chosen` over the current configuration; None where that is the chosen one, or cannot be compared with.
        over_default: of `chosen` over the model's defaults, where these are another configuration.
        closest: the rival of a current configuration that stays, and how it compares.
        equivalent: finalists that tie with `chosen`.
        ranking: the best point of each configuration, best first; of finalists those of the finals.
        reason: why it is undecided.
        rates: what is proven of its rate, where an objective on latencies decides: a sentence, in place of the gain in throughput.
    """

    goal: Goal
    outcome: Outcome
    finals: Finals
    chosen: Point
    baseline: Point | None
    gain: Comparison | None
    over_default: Comparison | None
    closest: tuple[Point, Comparison] | None
    equivalent: tuple[Point, ...]
    ranking: tuple[Point, ...]
    reason: str = ""
    rates: str = ""

    @property
    def keeps_current(self) -> bool:
        return self.chosen.configuration.current

    @property
    def may_be_applied(self) -> bool:
        """Whether it is a change that was proven."""
        return self.outcome is Outcome.TAKE

    def sentence(self) -> str:
        """One to three sentences for a person."""
        name = self.chosen.configuration.label
        if self.outcome is Outcome.UNDECIDED:
            return f"Undecided: {self.reason}"
        if self.outcome is Outcome.WRONG_BATCHES:
            return (
                "Do not keep the current configuration: its batches give other answers than single items. Nothing else "
                f"was measured; set max_batch_size to 1 to be safe. Now: {self.numbers()}."
            )
        if self.rates:
            verbs = {Outcome.TAKE: f"Take {name}: ", Outcome.KEEP: "Keep the current configuration: "}
            return f"{verbs.get(self.outcome, '')}{self.rates}".replace(": It ", ": it ")
        if self.outcome is Outcome.OVER_BUDGET:
            limit = self.goal.latency_budget_ms
            return f"Nothing measured keeps a p99 latency of {limit:g} ms. The closest is {name}: {self.numbers()}."
        if self.outcome is Outcome.KEEP:
            return f"Keep the current configuration: {self.numbers()}. {self.comparison()}{self._dropped()}"
        return f"Take {name}: {self.numbers()}. {self.comparison()}{self._dropped()}".rstrip()

    def numbers(self) -> str:
        """Its speed, from the finals only."""
        measured = self.chosen.measured
        return f"{short(measured.throughput)} infer/s, {p99_text(measured)} at {self.chosen.load.label}"

    def comparison(self) -> str:
        """What is proven of the gain, in a sentence or two; empty where nothing can be compared."""
        if self.outcome is Outcome.UNDECIDED:
            return f"Undecided: {self.reason}"
        if self.rates:
            return self.rates
        if self.outcome is Outcome.OVER_BUDGET:
            return "It does not keep the latency budget, and nothing measured does."
        text = self._over_current()
        if self.over_default is not None and math.isfinite(self.over_default.high):
            text += f" Over the model's defaults it is {self._text(self.over_default)}."
        return text.strip()

    def _over_current(self) -> str:
        if self.outcome is Outcome.KEEP:
            if self.closest is None:
                return "Nothing else was measured."
            rival, compared = self.closest
            return f"Nothing measured is better: {rival.configuration.label} is {self._text(compared)}."
        if self.baseline is None:
            return ""
        if self.baseline.configuration.wrong_batches:
            return "The current configuration's batches give other answers than single items: its numbers do not count."
        if self.gain is None:
            return "The current configuration does not keep the latency budget."
        return f"That is {self._text(self.gain)} than the current configuration ({self._evidence(self.gain)})."

    def _text(self, compared: Comparison) -> str:
        return gain_text(self.goal.said(compared), self.goal.gained)

    def _evidence(self, compared: Comparison) -> str:
        race = self.finals.race
        minutes = self.finals.seconds / 60
        span = f"{minutes:.0f} min" if minutes >= 2 else f"{self.finals.seconds:.0f} s"
        return f"{compared.pairs} pairs over {span}, {race.dropped} of {race.total} windows dropped"

    def _dropped(self) -> str:
        race = self.finals.race
        if 2 * race.dropped <= race.total:
            return ""
        return f" Others disturbed {race.dropped} of {race.total} windows, which do not count."


def gain_text(compared: Comparison, what: str) -> str:
    """For people: "12 % [9, 15] more throughput"."""
    low, high = f"{100 * compared.low:+.0f}", f"{100 * compared.high:+.0f}"
    if compared.verdict in (Verdict.BETTER, Verdict.WORSE):
        return f"{100 * compared.gain:+.0f} % [{low}, {high}] {what}"
    return f"between {low} and {high} % {what}"


def p99_text(windows: Windows) -> str:
    """The p99 latency, and that it is a guess where the requests are too few for it."""
    known = windows.percentile(0.99)
    text = f"p99 {short(windows.latency_ms(0.99))} ms"
    if known.is_known:
        return f"{text} [{short(known.low)}, {short(known.high)}]"
    return (
        f"{text} (of {windows.requests} requests, worth {known.independent:.0f} of the {known.needed} that p99 takes)"
    )


def recommend(
    finals: Finals | None, searched: Sequence[Point], default: Configuration | None, disturbers: str = ""
) -> Recommendation | None:
    """Choose by what the finals prove: the best that is proven better than the current one, else the current one.

    Of those that tie, or do not differ by more than a tie as far as is known, the current one, else the simplest: fewest instances (each holds the model in memory), then the smallest
    maximum batch size. One whose batches give wrong answers is no candidate, unless it is all that was measured.

    Args:
        searched: what the search measured, for the ranking.
        default: the configuration that is the model's defaults, if that took part.
        disturbers: who took the processor, for the reason of an undecided one.

    Returns:
        None if there are no finals.
    """
    if finals is None or not finals.points:
        return None
    return _Choice(finals, searched, default, disturbers).recommendation()


class _Choice:
    def __init__(
        self, finals: Finals, searched: Sequence[Point], default: Configuration | None, disturbers: str
    ) -> None:
        self._finals = finals
        self._goal = finals.goal
        self._disturbers = disturbers
        self._default = finals.of(default) if default is not None else None
        self._ranking = ranking(finals, searched)
        self._current = next((point for point in finals.points if point.configuration.current), None)
        self._sound = [point for point in finals.points if not point.configuration.wrong_batches and not point.flaw]
        # What others disturbed breaks no budget: it is too slow through no fault of its own, and proves nothing later on.
        self._allowed = [point for point in self._sound if not point.is_clean or self._goal.allows(point.measured)]

    def recommendation(self) -> Recommendation:
        flawed = next(
            (point for point in self._finals.points if point.flaw and (point is self._current or not self._sound)), None
        )
        if flawed is not None:
            return self._undecided(f"{flawed.configuration.label} could not be measured as it is: {flawed.flaw}.")
        if not self._sound:
            return self._found(Outcome.WRONG_BATCHES, self._finals.points[0])
        if self._finals.interrupted:
            return self._undecided("it was stopped before the end.")
        if not self._finals.race.rounds:
            return self._undecided("nothing could be measured again for the finals.")
        if not self._allowed:
            closest = min(self._sound, key=lambda point: point.measured.latency_ms(0.99))
            return self._found(Outcome.OVER_BUDGET, closest) if self._is_proven(closest) else self._disturbed()
        if self._current in self._allowed:
            assert self._current is not None
            return self._against(self._current)
        proven = [point for point in self._allowed if self._is_proven(point)]
        if not proven:
            return self._disturbed()
        return self._take(max(proven, key=lambda point: self._goal.value(point.measured)), proven)

    def _against(self, current: Point) -> Recommendation:
        rivals = [point for point in self._allowed if point is not current]
        compared = {point.configuration: self._finals.compare(point, current) for point in rivals}
        better = [point for point in rivals if compared[point.configuration].verdict is Verdict.BETTER]
        if better:
            return self._take(max(better, key=lambda point: compared[point.configuration].gain), better)
        open_ones = [point for point in rivals if not compared[point.configuration].decided]
        if not rivals and not self._is_proven(current):
            return self._disturbed()
        if not open_ones:
            nearest = max(rivals, key=lambda point: compared[point.configuration].gain, default=None)
            closest = (nearest, compared[nearest.configuration]) if nearest is not None else None
            return self._found(Outcome.KEEP, current, closest=closest)
        likeliest = max(open_ones, key=lambda point: compared[point.configuration].high)
        found = compared[likeliest.configuration]
        if found.pairs < LEAST_PAIRS:
            return self._disturbed()
        if math.isinf(found.high):
            return self._undecided(
                f"{found.pairs} pairs are too few to tell {likeliest.configuration.label} from the current configuration where it cannot be "
                "seen what others disturb; the current one stays."
            )
        return self._undecided(
            f"{likeliest.configuration.label} is {gain_text(self._goal.said(found), self._goal.gained)} than the current configuration after "
            f"{found.pairs} pairs; the current one stays."
        )

    def _take(self, leader: Point, among: Sequence[Point]) -> Recommendation:
        ties = [point for point in among if point is leader or self._is_as_good(point, leader)]
        return self._found(Outcome.TAKE, min(ties, key=_complexity))

    def _is_as_good(self, point: Point, leader: Point) -> bool:
        """Whether nothing speaks for the leader: they tie, or what lies between them is neither proven nor more than a tie."""
        compared, goal, tie = self._finals.compare(point, leader), self._goal, self._finals.tie
        if goal.keeps(leader.measured) and not goal.keeps(point.measured):
            return False
        if goal.value(point.measured) < goal.value(leader.measured) * (1 - 2 * tie):
            return False  # the median of pairs does not see what happens in fewer than half of them
        if compared.verdict is Verdict.UNDECIDED and compared.pairs >= LEAST_PAIRS:
            return compared.gain >= -tie and compared.high > 0
        return compared.verdict is Verdict.TIE

    def _is_proven(self, point: Point) -> bool:
        return len(point.windows.clean.windows) >= LEAST_PAIRS

    def _disturbed(self) -> Recommendation:
        race = self._finals.race
        who = f" ({self._disturbers})" if self._disturbers else ""
        if race.dropped:
            return self._undecided(
                f"others disturbed {race.dropped} of {race.total} windows of the finals{who}, and what is left proves nothing."
            )
        return self._undecided(
            f"the time was up after {race.rounds} rounds of the {LEAST_PAIRS} that a comparison takes."
        )

    def _undecided(self, reason: str) -> Recommendation:
        points = self._finals.points
        right = [point for point in points if not point.configuration.wrong_batches]  # before all that is only fast
        best = max(self._allowed or self._sound or right or points, key=lambda point: self._goal.value(point.measured))
        sound_current = self._current if self._current in self._sound else None
        return self._found(Outcome.UNDECIDED, sound_current or best, reason=reason)

    def _found(
        self, outcome: Outcome, chosen: Point, closest: tuple[Point, Comparison] | None = None, reason: str = ""
    ) -> Recommendation:
        current, default = self._current, self._default
        comparable = current is not None and current is not chosen and current in self._allowed
        proven = outcome is Outcome.TAKE
        equivalent = [
            point
            for point in self._allowed
            if point is not chosen and self._finals.compare(point, chosen).verdict is Verdict.TIE
        ]
        return Recommendation(
            goal=self._goal,
            outcome=outcome,
            finals=self._finals,
            chosen=chosen,
            baseline=current,
            gain=self._finals.compare(chosen, current) if proven and comparable and current is not None else None,
            over_default=self._finals.compare(chosen, default)
            if default is not None and default is not chosen
            else None,
            closest=closest,
            equivalent=tuple(equivalent),
            ranking=self._ranking,
            reason=reason,
        )


def ranking(finals: Finals | None, searched: Sequence[Point]) -> tuple[Point, ...]:
    """The best point of each configuration, best first: finalists by the finals, before all that were only searched."""
    finalists = list(finals.points) if finals is not None else []
    if finals is None or not finalists:
        return ()
    goal = finals.goal
    final_ones = {point.configuration for point in finalists}
    others = [point for point in best_of_each(searched, goal) if point.configuration not in final_ones]
    return (*sorted(finalists, key=lambda point: _order(point, goal)), *others)


def best_of_each(points: Sequence[Point], goal: Goal) -> list[Point]:
    """Each configuration's best point, those within the budget first, best first."""
    best: dict[Configuration, Point] = {}
    for point in points:
        known = best.get(point.configuration)
        if known is None or _order(point, goal) < _order(known, goal):
            best[point.configuration] = point
    return sorted(best.values(), key=lambda point: _order(point, goal))


def _order(point: Point, goal: Goal) -> tuple[bool, bool, float]:
    measured = point.measured
    return point.configuration.wrong_batches, not goal.allows(measured), -goal.value(measured)


def _complexity(point: Point) -> tuple[bool, int, int]:
    configuration = point.configuration
    return not configuration.current, configuration.instances, configuration.max_batch_size
