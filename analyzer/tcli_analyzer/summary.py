"""What an analysis comes to beside the recommendation itself: what that costs, what cannot win, what failed. In sentences."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Outcome
from tcli_analyzer.space import read_settings

if TYPE_CHECKING:
    from tcli_analyzer.analysis import Analysis

_MOST_NAMED = 3
"""Configurations that failed for the same reason."""


def family_of(configuration: Configuration) -> str:
    """What computes: engine, provider and precision, such as "openvino bf16"; empty where nothing is said."""
    settings = read_settings(configuration.config)
    provider = f"+{settings.provider}" if settings.provider not in ("", "cpu") else ""
    return " ".join(filter(None, [f"{settings.engine}{provider}", settings.precision]))


def is_proven(analysis: "Analysis") -> bool:
    """Whether there is a configuration to recommend: the current one or another."""
    recommendation = analysis.recommendation
    return recommendation is not None and recommendation.outcome in (Outcome.TAKE, Outcome.KEEP)


def costs(analysis: "Analysis") -> list[str]:
    """Of the recommended configuration, against the current one: memory and processor time, in a sentence."""
    recommendation = analysis.recommendation
    if recommendation is None or not is_proven(analysis):
        return []
    chosen = recommendation.chosen
    baseline = recommendation.baseline if recommendation.baseline is not chosen else None
    found = list(filter(None, [_memory(chosen, baseline), _processor(chosen, baseline)]))
    return [f"It takes {' and '.join(found)}."] if found else []


def answers(analysis: "Analysis") -> str:
    """Whether those of the recommended configuration are those of today; empty where that is the current one, or not known."""
    recommendation = analysis.recommendation
    if recommendation is None or not is_proven(analysis) or recommendation.keeps_current:
        return ""
    configuration = recommendation.chosen.configuration
    accuracy = analysis.accuracy.get(configuration)
    if accuracy is not None:
        return f"Its answers against today's: {accuracy.sentence}."
    return (
        ""
        if configuration.changes_numbers
        else "Its answers are those of today: nothing that it changes changes numbers."
    )


def _memory(chosen: Point, baseline: Point | None) -> str:
    if not chosen.measured.memory_mib:
        return ""
    before = f" (now {baseline.measured.memory_mib:,.0f})" if baseline is not None else ""
    return f"{chosen.measured.memory_mib:,.0f} MiB of memory{before}"


def _processor(chosen: Point, baseline: Point | None) -> str:
    own = chosen.measured.cpu_ms_per_inference
    if own is None:
        return ""
    before = baseline.measured.cpu_ms_per_inference if baseline is not None else None
    return f"{short(own)} ms of processor time an inference{f' (now {short(before)})' if before is not None else ''}"


def rejected(analysis: "Analysis") -> list[str]:
    """Configurations that cannot win, as their answers are others or may be, and how fast they would have been."""
    found = []
    for configuration, accuracy in analysis.rejected().items():
        points = [point for point in analysis.points if configuration in (point.configuration, *point.same)]
        best = max(points, key=lambda point: analysis.options.goal.value(point.measured), default=None)
        speed = f" ({short(best.measured.throughput)} infer/s in the search)" if best is not None else ""
        found.append(f"{configuration.label}{speed}: {accuracy.reason}")
    return found


def failures(analysis: "Analysis") -> Iterator[tuple[str, str]]:
    """What failed and why; configurations with the same reason together."""
    return by_reason((failure.place, failure.reason) for failure in analysis.failures)


def by_reason(failures: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Places and reasons: places with the same reason as one text."""
    found: dict[str, list[str]] = {}
    for place, reason in failures:
        found.setdefault(reason, []).append(place)
    for reason, places in found.items():
        named = "; ".join(places[:_MOST_NAMED])
        more = len(places) - _MOST_NAMED
        yield (f"{named} and {more} more" if more > 0 else named), reason


def other_notes(analysis: "Analysis", predictions: bool = True) -> list[str]:
    """The notes that say what is not said elsewhere: of failures, answers and rates.

    Args:
        predictions: also those of predictions.
    """
    told = {f"{configuration.label} {found.sentence}" for configuration, found in analysis.rates.items()}
    if analysis.prediction is not None and not predictions:
        told |= {analysis.prediction.sentence(), analysis.prediction.fallback, *analysis.prediction.notes}
    begins = tuple(f"{configuration.label} cannot win: " for configuration in analysis.rejected())
    begins += ("not measured: ",)
    return [note for note in analysis.notes if note not in told and not note.startswith(begins)]
