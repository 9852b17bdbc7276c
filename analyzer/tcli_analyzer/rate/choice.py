"""Which configuration takes the highest rate within an objective on latencies, as far as that is proven."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.rate.found import RateFound, Verdict
from tcli_analyzer.rate.slo import Slo
from tcli_analyzer.recommendation import Outcome, Recommendation

_NO_RATE = (Verdict.IMPOSSIBLE, Verdict.NONE_KEEPS)
"""It is proven that there is none."""


@dataclass(frozen=True)
class RateChoice:
    """What the rates that were found say.

    Attributes:
        chosen: TAKE and KEEP: the one with the highest proven rate; else what stays meanwhile.
        text: for people: the rates, or why it is undecided.
    """

    outcome: Outcome
    chosen: Configuration
    text: str


def choose_by_rate(
    slo: Slo,
    wanted: Sequence[Configuration],
    found: Mapping[Configuration, RateFound],
    limit: GeneratorLimit | None = None,
    failed: Mapping[Configuration, str] | None = None,
) -> RateChoice | None:
    """The highest rate that is proven wins: one whose interval lies above the current configuration's.

    Of several such whose intervals meet that of the best, the simplest. Where none is proven better, the current one stays.

    Args:
        wanted: all whose rates were to be found, in order of preference.
        found: what was; what is missing is not proven.
        limit: of the load generator: a rate that meets it says nothing of the model.
        failed: what could not be measured, and why.

    Returns:
        None where none was wanted.
    """
    return _Choice(slo, wanted, found, limit, failed or {}).made() if wanted else None


def by_rate(recommendation: Recommendation, choice: RateChoice) -> Recommendation:
    """The recommendation where rates decide, whatever the finals say of throughput."""
    finals = recommendation.finals
    chosen = finals.of(choice.chosen) or recommendation.chosen
    current = recommendation.baseline
    other = current is not None and current is not chosen
    return replace(
        recommendation,
        outcome=choice.outcome,
        chosen=chosen,
        gain=finals.compare(chosen, current) if other and current is not None else None,
        closest=None,
        equivalent=(),
        rates=choice.text if choice.outcome is not Outcome.UNDECIDED else "",
        reason=choice.text if choice.outcome is Outcome.UNDECIDED else "",
    )


def rate_candidates(recommendation: Recommendation, default: Configuration | None, most: int = 3) -> list[Point]:
    """Finalists whose rates are looked for: the recommended one, the current one, then others, best first.

    Args:
        default: the model's defaults, which are looked at only if they are recommended.
    """
    chosen, current = recommendation.chosen, recommendation.baseline
    finalists = {point.configuration for point in recommendation.finals.points}
    rivals = [point for point in recommendation.ranking if point.configuration in finalists]
    wanted = [chosen, *([current] if current is not None else []), *rivals]
    sound = [
        point
        for point in wanted
        if not point.configuration.wrong_batches and (point is chosen or point.configuration is not default)
    ]
    unique = {point.configuration: point for point in sound}
    return list(unique.values())[:most]


class _Choice:
    def __init__(
        self,
        slo: Slo,
        wanted: Sequence[Configuration],
        found: Mapping[Configuration, RateFound],
        limit: GeneratorLimit | None,
        failed: Mapping[Configuration, str],
    ) -> None:
        self._slo = slo
        self._wanted = wanted
        self._found = found
        self._limit = limit
        self._failed = failed
        self._current = next((one for one in wanted if one.current), None)
        self._open = {one: reason for one in wanted if (reason := self._open_reason(one))}
        self._claims = {one: rate for one, rate in found.items() if one not in self._open and rate.rate}

    def made(self) -> RateChoice:
        first = self._current or self._wanted[0]
        if not self._claims:
            if self._open:
                return self._undecided(first, list(self._open))
            reasons = "; ".join(f"{one.label}: {rate.sentence}" for one, rate in self._found.items())
            return RateChoice(Outcome.OVER_BUDGET, first, f"Nothing keeps {self._slo.text}: {reasons}.")
        if self._current is None:
            return self._take(list(self._claims))
        if self._current in self._open:
            return self._undecided(first, [self._current])
        better = [one for one in self._claims if one is not self._current and self._is_above(one, self._current)]
        if better:
            return self._take(better)
        if self._open:
            return self._undecided(first, list(self._open))
        return RateChoice(Outcome.KEEP, self._current, self._kept(self._current))

    def _open_reason(self, one: Configuration) -> str:
        """Why nothing is proven of a rate; empty where something is."""
        found = self._found.get(one)
        if found is None:
            return self._failed.get(one, "it was stopped before that was looked for")
        if found.verdict in _NO_RATE:
            return ""
        is_proven = found.is_claim or found.verdict is Verdict.TOO_SHORT
        if not is_proven or found.rate is None or found.low is None or found.high is None:
            return found.sentence
        return found.limited(self._limit) or ""

    def _is_above(self, one: Configuration, other: Configuration) -> bool:
        low, high = self._found[one].low, self._found[other].high
        return other not in self._claims or (low is not None and high is not None and low > high)

    def _take(self, among: Sequence[Configuration]) -> RateChoice:
        best = max(among, key=lambda one: self._claims[one].rate or 0.0)
        near = [one for one in among if one is best or not self._is_above(best, one)]
        chosen = min(near, key=lambda one: (one.instances, one.max_batch_size))
        outcome = Outcome.KEEP if chosen.current else Outcome.TAKE
        text = f"It takes {self._shown(chosen)} with {self._slo.text}{self._against(chosen)}"
        return RateChoice(outcome, chosen, f"{text}{self._unconfirmed([chosen])}.")

    def _against(self, chosen: Configuration) -> str:
        current = self._current
        if current is None or current is chosen:
            return ""
        if current not in self._claims:
            return "; the current configuration keeps that at no rate"
        return f", the current configuration {self._shown(current, unit='')}"

    def _kept(self, current: Configuration) -> str:
        rivals = [one for one in self._claims if one is not current]
        text = f"It takes {self._shown(current)} with {self._slo.text}"
        if not rivals:
            return f"{text}; nothing else that was tried takes more{self._unconfirmed([current])}."
        nearest = max(rivals, key=lambda one: self._claims[one].rate or 0.0)
        text = f"{text}; nothing is proven to take more: {nearest.label} takes {self._shown(nearest, unit='')}"
        return f"{text}{self._unconfirmed([current, nearest])}."

    def _unconfirmed(self, named: Sequence[Configuration]) -> str:
        short_ones = [one.label for one in named if self._claims[one].verdict is Verdict.TOO_SHORT]
        return f"; no run was long enough to confirm that of {' and '.join(short_ones)}" if short_ones else ""

    def _undecided(self, stays: Configuration, open_ones: Sequence[Configuration]) -> RateChoice:
        reasons = "; ".join(f"{one.label}: {self._open[one]}" for one in open_ones)
        which = "the current one" if stays.current else stays.label
        return RateChoice(
            Outcome.UNDECIDED, stays, f"rates with {self._slo.text} are not proven ({reasons}); {which} stays."
        )

    def _shown(self, one: Configuration, unit: str = " requests/s") -> str:
        found = self._claims[one]
        return f"{short(found.rate or 0.0)}{unit} [{short(found.low or 0.0)}, {short(found.high or 0.0)}]"
