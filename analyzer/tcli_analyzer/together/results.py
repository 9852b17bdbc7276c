"""Measurements of several models as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from tcli_analyzer.evidence.pairs import LEAST_PAIRS, Comparison
from tcli_analyzer.goal import Goal
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Outcome
from tcli_analyzer.results.plain import plain, records
from tcli_analyzer.results.rows import point_row
from tcli_analyzer.results.samples import Sample, Stage
from tcli_analyzer.together.analysis import TogetherAnalysis
from tcli_analyzer.together.arrangement import Arrangement
from tcli_analyzer.together.recommendation import JointRecommendation
from tcli_analyzer.together.window import JointWindow, part_windows


def together_frame(analysis: TogetherAnalysis) -> pd.DataFrame:
    """A row for each model of each arrangement, and for each point of a model alone.

    `stage` is "alone", "together" or "final"; rows of one arrangement share its number, from 0 for the current configurations.
    """
    rows = [
        {**_row(point, analysis, model), "stage": "alone"}
        for model, part in analysis.parts.items()
        for point in part.points
    ]
    numbers = {arrangement: number for number, arrangement in enumerate(analysis.found.windows)}
    for arrangement, windows in analysis.found.windows.items():
        rows += _rows(analysis, "together", numbers[arrangement], arrangement, windows)
    finals = analysis.finals
    for finalist in (finals.baseline, finals.rival) if finals is not None else ():
        if finalist is not None and finals is not None:
            rows += _rows(analysis, "final", numbers.get(finalist), finalist, finals.windows(finalist))
    return pd.DataFrame(rows)


def _rows(
    analysis: TogetherAnalysis, stage: str, number: int | None, arrangement: Arrangement, windows: Sequence[JointWindow]
) -> list[dict[str, Any]]:
    if not windows:
        return []
    recommendation = analysis.recommendation
    chosen = recommendation is not None and recommendation.chosen == arrangement
    found = []
    for choice in arrangement.choices:
        point = Point(choice.configuration, choice.load, part_windows(windows, choice.model))
        row = _row(point, analysis, choice.model, number)
        found.append({**row, "stage": stage, "recommended": chosen})
    return found


def _row(point: Point, analysis: TogetherAnalysis, model: str, number: int | None = None) -> dict[str, Any]:
    row = point_row(Sample(Stage.SEARCH, point), analysis.options.goal.goals[model], model)
    return {"stage": "", "arrangement": number, "model": model, **row}


def together_document(analysis: TogetherAnalysis) -> dict[str, Any]:
    """Everything, ready for `json.dumps`."""
    recommendation, options = analysis.recommendation, analysis.options
    finals = analysis.finals
    document = {
        "models": [
            {
                "model": one.model,
                "weight": options.weights[one.model],
                "objective": one.goal.objective.value,
                "latency_budget_ms": one.goal.latency_budget_ms,
                "placeholder_weights": bool(analysis.parts[one.model].subject.placeholder),
                "tried": [choice.label for choice in _tried(analysis, one.model)],
            }
            for one in options.models
        ],
        "started": analysis.started.isoformat(timespec="seconds"),
        "seconds": round(analysis.seconds, 1),
        "interrupted": analysis.interrupted,
        "resumed_windows": analysis.resumed,
        "measurement": {"window_seconds": options.window_seconds, "tie": options.tie},
        "machine": asdict(analysis.machine),
        "notes": analysis.notes,
        "recommendation": _recommendation(recommendation) if recommendation is not None else None,
        "points": records(together_frame(analysis)),
        "finals": {
            "seconds": round(finals.seconds, 1),
            "rounds": finals.race.rounds,
            "windows": finals.race.total,
            "dropped_windows": finals.race.dropped,
        }
        if finals is not None
        else None,
        "neighbours": dict(analysis.neighbours.busiest(10)),
        "failures": [{"place": place, "message": reason} for place, reason in analysis.failures()],
    }
    return {key: plain(value) for key, value in document.items()}


def _tried(analysis: TogetherAnalysis, model: str) -> Sequence[Any]:
    found = analysis.parts[model].candidates
    return found.choices if found is not None else ()


def _recommendation(recommendation: JointRecommendation) -> dict[str, Any]:
    proven = recommendation.outcome is not Outcome.UNDECIDED
    each = {}
    for choice in recommendation.chosen.choices:
        measured = recommendation.measured(choice.model)
        known = proven and bool(measured.windows)
        each[choice.model] = {
            "configuration": choice.configuration.label,
            "keeps_current": choice.configuration.current,
            "max_batch_size": choice.configuration.max_batch_size,
            "instances": choice.configuration.instances,
            "load": choice.load.label,
            "throughput_infer_per_s": measured.throughput if known else None,
            "latency_p99_ms": measured.latency_ms(0.99) if known else None,
            "gain_over_current": _gain(
                recommendation.gains.get(choice.model), recommendation.finals.goal.goals[choice.model]
            ),
        }
    return {
        "outcome": recommendation.outcome.value,
        "sentence": recommendation.sentence(),
        "may_be_applied": recommendation.may_be_applied,
        "keeps_current": recommendation.keeps_current,
        "gain_over_current": _gain(recommendation.gain),
        "models": each,
    }


def _gain(compared: Comparison | None, goal: Goal | None = None) -> dict[str, Any] | None:
    """None where the pairs are too few to say anything.

    Args:
        goal: the model's; None for all models, whose gains are averaged as ratios.
    """
    if compared is None or compared.pairs < LEAST_PAIRS:
        return None
    said = goal.said(compared) if goal is not None else compared
    return {
        "of": goal.gained if goal is not None else "weighted geometric mean",
        "percent": 100 * said.gain,
        "low_percent": 100 * said.low,
        "high_percent": 100 * said.high,
        "pairs": said.pairs,
        "verdict": said.verdict.value,
    }
