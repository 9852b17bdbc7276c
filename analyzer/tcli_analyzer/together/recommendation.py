"""Which arrangement to take, given what was proven, and what is said of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tcli_analyzer.evidence.pairs import LEAST_PAIRS, Comparison, Verdict
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.numbers import short
from tcli_analyzer.recommendation import Outcome, gain_text, p99_text
from tcli_analyzer.together.arrangement import Arrangement
from tcli_analyzer.together.finals import JointFinals
from tcli_analyzer.together.window import clean_ones, part_windows


@dataclass(frozen=True)
class JointRecommendation:
    """What to take.

    Attributes:
        chosen: the recommended arrangement; for UNDECIDED the one that stays meanwhile.
        gain: of `chosen`, or else of the rival, over the current configurations; None where that says nothing.
        gains: the same of each model.
        over: models that do not keep their latency budgets in `chosen`.
        reason: why it is undecided.
    """

    outcome: Outcome
    finals: JointFinals
    chosen: Arrangement
    gain: Comparison | None = None
    gains: Mapping[str, Comparison] = field(default_factory=dict)
    over: tuple[str, ...] = ()
    reason: str = ""

    @property
    def keeps_current(self) -> bool:
        """Whether nothing is changed."""
        return self.chosen.is_current

    @property
    def may_be_applied(self) -> bool:
        """Whether it is a change that was proven."""
        return self.outcome is Outcome.TAKE

    def measured(self, model: str) -> Windows:
        """A model's windows of the finals, in the chosen arrangement."""
        return part_windows(clean_ones(self.finals.windows(self.chosen)), model)

    def sentence(self) -> str:
        """For people: what to do, and what is proven."""
        if self.outcome is Outcome.UNDECIDED:
            return f"Undecided: {self.reason}"
        if self.outcome is Outcome.OVER_BUDGET:
            return f"Nothing measured keeps the latency budget of {' and '.join(self.over)} while all models run."
        if self.outcome is Outcome.WRONG_BATCHES:
            return (
                f"Do not keep the current configuration of {' and '.join(self.chosen.wrong)}: its batches give other answers "
                "than single items, and nothing better was found; set max_batch_size to 1 to be safe."
            )
        if self.outcome is Outcome.KEEP:
            return f"Keep all current configurations. {self._keeping()}"
        changes = "; ".join(
            f"{choice.model}: {'as it is' if choice.configuration.current else choice.configuration.label}"
            for choice in self.chosen.choices
        )
        return f"Take {changes}. {self.comparison()}"

    def comparison(self) -> str:
        """What is proven of the gain, for all models and for each; empty where nothing can be compared."""
        if self.outcome is not Outcome.TAKE:
            return self._keeping() if self.outcome is Outcome.KEEP else ""
        if self.gain is None:
            return (
                "The current configurations together do not count: they break a latency budget or give wrong answers."
            )
        seconds, race = self.finals.seconds, self.finals.race
        evidence = f"{self.gain.pairs} pairs over {seconds:.0f} s, {race.dropped} of {race.total} windows dropped"
        each = ", ".join(f"{model} {self._gain_of(model)}" for model in self.gains)
        mean = gain_text(self.gain, "on weighted average")
        return f"While all models run, they gain {mean} over the current configurations ({evidence}): {each}."

    def numbers(self, model: str) -> str:
        """A model's speed in the chosen arrangement, from the finals only."""
        measured = self.measured(model)
        if not measured.windows:
            return "not measured"
        load = self.chosen.of(model).load.label
        return f"{short(measured.throughput)} infer/s, {p99_text(measured)} at {load}, while all models run"

    def _gain_of(self, model: str) -> str:
        goal = self.finals.goal.goals[model]
        return gain_text(goal.said(self.gains[model]), goal.gained)

    def _keeping(self) -> str:
        rival = self.finals.rival
        if rival is None or self.gain is None:
            return "Nothing else was measured." if rival is None else "What seemed better breaks a latency budget."
        other = "; ".join(
            choice.label
            for choice, own in zip(rival.choices, self.finals.baseline.choices, strict=True)
            if choice.configuration is not own.configuration
        )
        return f"Nothing measured is better: with {other}, they gain {gain_text(self.gain, 'on weighted average')}."


def recommend_together(finals: JointFinals, disturbers: str = "") -> JointRecommendation:
    """Choose by what the finals prove: the rival if it is proven better and keeps all budgets, else what is current.

    Args:
        disturbers: who took the processor, for the reason of an undecided one.
    """
    baseline, rival = finals.baseline, finals.rival
    if finals.interrupted:
        return _undecided(finals, "it was stopped before the end.")
    if finals.failure:
        return _undecided(finals, f"what was measured before failed in the finals: {finals.failure}.")
    flaw = _flaw(finals)
    if flaw:
        return _undecided(finals, f"{flaw}.")
    if (rival or baseline).wrong:
        return JointRecommendation(Outcome.WRONG_BATCHES, finals, baseline)
    if rival is None:
        return _alone(finals, disturbers)
    gain = finals.gain()
    gains = {model: finals.gain_of(model) for model in finals.goal.goals}
    over_now, over_then = _over(finals, baseline), _over(finals, rival)
    if over_then and over_now:
        fewer = min((baseline, over_now), (rival, over_then), key=lambda pair: len(pair[1]))
        if not _is_proven(finals, fewer[0]):
            return _disturbed(finals, disturbers)
        return JointRecommendation(Outcome.OVER_BUDGET, finals, fewer[0], over=tuple(fewer[1]))
    if over_then:
        return JointRecommendation(Outcome.KEEP, finals, baseline)
    if over_now or baseline.wrong:
        if not _is_proven(finals, rival):
            return _disturbed(finals, disturbers)
        return JointRecommendation(Outcome.TAKE, finals, rival)
    if gain.verdict is Verdict.BETTER:
        return JointRecommendation(Outcome.TAKE, finals, rival, gain, gains)
    if gain.decided:
        return JointRecommendation(Outcome.KEEP, finals, baseline, gain, gains)
    if gain.pairs < LEAST_PAIRS:
        return _disturbed(finals, disturbers)
    if math.isinf(gain.high):
        return _undecided(
            finals,
            f"{gain.pairs} pairs are too few where it cannot be seen what others disturb; the current ones stay.",
        )
    return _undecided(
        finals,
        f"the best arrangement gains {gain_text(gain, 'on weighted average')} over the current configurations after {gain.pairs} "
        "pairs; the current ones stay.",
    )


def _alone(finals: JointFinals, disturbers: str) -> JointRecommendation:
    """Of the current configurations, where nothing else may win."""
    if not _is_proven(finals, finals.baseline):
        return _disturbed(finals, disturbers)
    over = tuple(_over(finals, finals.baseline))
    return JointRecommendation(Outcome.OVER_BUDGET if over else Outcome.KEEP, finals, finals.baseline, over=over)


def _flaw(finals: JointFinals) -> str:
    """Which model of a finalist could not be measured as it is, and why; empty if all could."""
    for arrangement in (finals.baseline, finals.rival):
        for choice in arrangement.choices if arrangement is not None else ():
            assert arrangement is not None
            flaw = part_windows(finals.windows(arrangement), choice.model).flaw
            if flaw:
                return f"{choice.label} could not be measured as it is: {flaw}"
    return ""


def _over(finals: JointFinals, arrangement: Arrangement) -> list[str]:
    """Models that do not keep their budgets; none where others disturbed all windows, which proves nothing."""
    windows = [window for window in finals.windows(arrangement) if window.is_clean]
    return finals.goal.over_budget(windows) if windows else []


def _is_proven(finals: JointFinals, arrangement: Arrangement) -> bool:
    return sum(window.is_clean for window in finals.windows(arrangement)) >= LEAST_PAIRS


def _disturbed(finals: JointFinals, disturbers: str) -> JointRecommendation:
    race = finals.race
    if not race.dropped:
        return _undecided(
            finals, f"the time was up after {race.rounds} rounds of the {LEAST_PAIRS} that a comparison takes."
        )
    who = f" ({disturbers})" if disturbers else ""
    return _undecided(
        finals,
        f"others disturbed {race.dropped} of {race.total} windows of the finals{who}, and what is left proves nothing.",
    )


def _undecided(finals: JointFinals, reason: str) -> JointRecommendation:
    return JointRecommendation(Outcome.UNDECIDED, finals, finals.baseline, reason=reason)
