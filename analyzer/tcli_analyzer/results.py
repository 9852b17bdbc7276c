"""Measurements as tables: a pandas frame, CSV and JSON."""

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.evidence.pairs import LEAST_PAIRS, Comparison
from tcli_analyzer.finals import Finals
from tcli_analyzer.goal import Goal
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.point import Point
from tcli_analyzer.prediction.stored import write_tables
from tcli_analyzer.recommendation import Outcome, Recommendation
from tcli_analyzer.searching.found import Prediction


def point_row(point: Point, stage: str, goal: Goal, recommendation: Recommendation | None) -> dict[str, Any]:
    """One point as a flat row; times in ms, memory in MiB. What cannot be seen here is None.

    Values are those of the clean windows, where there are any. Latencies of an open loop count from when requests were due.
    """
    measured = point.measured
    configuration = point.configuration
    gpu = measured.gpu
    p99 = measured.percentile(0.99)
    chosen = recommendation is not None and recommendation.chosen is point
    equivalent = recommendation is not None and any(point is other for other in recommendation.equivalent)
    return {
        "stage": stage,
        "configuration": configuration.label,
        "current": configuration.current,
        "max_batch_size": configuration.max_batch_size,
        "instances": configuration.instances,
        "concurrency": point.load.concurrency if isinstance(point.load, ClosedLoad) else None,
        "request_rate": point.load.rate if isinstance(point.load, OpenLoad) else None,
        "throughput_infer_per_s": measured.throughput,
        "latency_avg_ms": measured.latency_avg_ms,
        "latency_p50_ms": measured.latency_ms(0.50),
        "latency_p90_ms": measured.latency_ms(0.90),
        "latency_p95_ms": measured.latency_ms(0.95),
        "latency_p99_ms": measured.latency_ms(0.99),
        "latency_p99_low_ms": p99.low if p99.is_known else None,
        "latency_p99_high_ms": p99.high if p99.is_known else None,
        "independent_requests": p99.independent,
        "queue_ms": measured.queue_ms,
        "compute_input_ms": measured.compute_input_ms,
        "compute_infer_ms": measured.compute_infer_ms,
        "compute_output_ms": measured.compute_output_ms,
        "other_ms": measured.other_ms,
        "executed_batch_avg": measured.batch_avg,
        "cpu_ms_per_inference": measured.cpu_ms_per_inference,
        "lost_processor_share": measured.lost_share,
        "memory_mib": measured.memory_mib,
        "gpu_utilization_percent": gpu.utilisation_percent if gpu else None,
        "gpu_memory_mib": gpu.memory_mib if gpu else None,
        "requests": measured.requests,
        "seconds": measured.seconds,
        "windows": len(point.windows.windows),
        "clean_windows": len(point.windows.clean.windows),
        "flaw": point.flaw,
        "within_latency_budget": goal.allows(measured),
        "equivalent_to_recommended": equivalent,
        "recommended": chosen,
        "same_as_configurations": "; ".join(other.label for other in point.same),
    }


def results_frame(analysis: Analysis) -> pd.DataFrame:
    """All points, in the order in which they were measured: those of the search, then the finalists again."""
    recommendation = analysis.recommendation
    goal = analysis.options.goal
    finalists = analysis.finals.points if analysis.finals is not None else ()
    rows = [point_row(point, "search", goal, recommendation) for point in analysis.points]
    rows += [point_row(point, "final", goal, recommendation) for point in finalists]
    return pd.DataFrame(rows)


def results_document(analysis: Analysis) -> dict[str, Any]:
    """Everything, ready for `json.dumps`: model, machine, how it was measured, recommendation, points, pairs, failures."""
    recommendation = analysis.recommendation
    options = analysis.options
    rows = json.loads(results_frame(analysis).to_json(orient="records")) if analysis.points else []
    return {
        "model": options.model,
        "started": analysis.started.isoformat(timespec="seconds"),
        "seconds": round(analysis.seconds, 1),
        "interrupted": analysis.interrupted,
        "resumed_windows": analysis.resumed,
        "objective": options.goal.objective.value,
        "latency_budget_ms": options.goal.latency_budget_ms,
        "where": analysis.where,
        "search": options.search.value,
        "measurement": {"window_seconds": options.window_seconds, "tie": options.tie},
        "machine": asdict(analysis.machine),
        "identity": dict(analysis.identity),
        "prediction": _prediction(analysis.prediction) if analysis.prediction is not None else None,
        "placeholder_weights": bool(analysis.subject.placeholder),
        "batchable": _batchable(analysis),
        "notes": analysis.notes,
        "recommendation": _recommendation(recommendation) if recommendation else None,
        "points": rows,
        "finals": _finals(analysis.finals) if analysis.finals is not None else None,
        "generator": asdict(analysis.generator) if analysis.generator is not None else None,
        "neighbours": dict(analysis.neighbours.busiest(10)),
        "failures": [
            {
                "configuration": failure.configuration.label,
                "load": failure.load.label if failure.load is not None else None,
                "message": failure.reason,
            }
            for failure in analysis.failures
        ],
    }


def _recommendation(recommendation: Recommendation) -> dict[str, Any]:
    chosen, baseline = recommendation.chosen, recommendation.baseline
    proven = recommendation.outcome is not Outcome.UNDECIDED
    return {
        "outcome": recommendation.outcome.value,
        "sentence": recommendation.sentence(),
        "configuration": chosen.configuration.label,
        "max_batch_size": chosen.configuration.max_batch_size,
        "instances": chosen.configuration.instances,
        "load": chosen.load.label,
        "throughput_infer_per_s": chosen.measured.throughput if proven else None,
        "latency_p99_ms": chosen.measured.latency_ms(0.99) if proven else None,
        "keeps_current": recommendation.keeps_current,
        "may_be_applied": recommendation.may_be_applied,
        "current_throughput_infer_per_s": baseline.measured.throughput if baseline else None,
        "current_latency_p99_ms": baseline.measured.latency_ms(0.99) if baseline else None,
        "gain_over_current": _comparison(recommendation.gain),
        "gain_over_defaults": _comparison(recommendation.over_default),
        "equivalent": [point.configuration.label for point in recommendation.equivalent],
    }


def _prediction(prediction: Prediction) -> dict[str, Any]:
    """What `--what-if` reads."""
    return {"tables": write_tables(prediction.tables)}


def _comparison(compared: Comparison | None) -> dict[str, Any] | None:
    if compared is None or compared.pairs < LEAST_PAIRS:
        return None
    return {
        "percent": 100 * compared.gain,
        "low_percent": 100 * compared.low,
        "high_percent": 100 * compared.high if math.isfinite(compared.high) else None,
        "pairs": compared.pairs,
        "verdict": compared.verdict.value,
        "by_signs": compared.by_signs,
    }


def _finals(finals: Finals) -> dict[str, Any]:
    """Every window of every round, so that the comparisons can be made again."""
    return {
        "seconds": round(finals.seconds, 1),
        "dropped_windows": finals.race.dropped,
        "windows": finals.race.total,
        "rounds": [
            {
                name: {
                    "throughput_infer_per_s": window.throughput,
                    "latency_p99_ms": float(np.percentile(window.latencies_ms, 99))
                    if window.latencies_ms.size
                    else None,
                    "lost_processor_share": window.processor.lost_share if window.processor else None,
                    "clean": window.is_clean,
                }
                for name, window in windows.items()
            }
            for windows in finals.race.latest
        ],
    }


def _batchable(analysis: Analysis) -> dict[str, Any]:
    subject = analysis.subject
    rewritten = subject.batchable
    return {
        "batches": subject.batches,
        "reason_if_not": subject.not_batchable,
        "model_rewritten": rewritten is not None and bool(rewritten.edits),
        "edits": list(rewritten.edits) if rewritten else [],
        "checked_batch_sizes": list(subject.check.sizes) if subject.check else [],
        "wrong_batches": subject.wrong_batches,
        "reason_if_unchecked": subject.unchecked,
        "verdict": subject.verdict.outcome if subject.verdict else None,
        "largest_difference": subject.verdict.difference if subject.check and subject.verdict else None,
    }
