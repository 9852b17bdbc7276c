"""Measurements as tables: a pandas frame, CSV and JSON."""

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.recommendation import Goal, Point, Recommendation


def point_row(point: Point, goal: Goal, recommendation: Recommendation | None) -> dict[str, Any]:
    """One point as a flat row; times in ms, memory in MiB, spreads in %. GPU columns are None without a GPU."""
    measurement = point.measurement
    configuration = point.configuration
    gpu = measurement.gpu
    chosen = recommendation is not None and recommendation.chosen is point
    equivalent = recommendation is not None and any(point is other for other in recommendation.equivalent)
    return {
        "configuration": configuration.label,
        "current": configuration.current,
        "max_batch_size": configuration.max_batch_size,
        "instances": configuration.instances,
        "concurrency": point.concurrency,
        "throughput_infer_per_s": measurement.throughput,
        "latency_avg_ms": measurement.latency_avg_ms,
        "latency_p50_ms": measurement.latency_ms(50),
        "latency_p90_ms": measurement.latency_ms(90),
        "latency_p95_ms": measurement.latency_ms(95),
        "latency_p99_ms": measurement.latency_ms(99),
        "queue_ms": measurement.queue_ms,
        "compute_input_ms": measurement.compute_input_ms,
        "compute_infer_ms": measurement.compute_infer_ms,
        "compute_output_ms": measurement.compute_output_ms,
        "other_ms": measurement.other_ms,
        "executed_batch_avg": measurement.batch_avg,
        "cpu_percent": measurement.cpu_percent,
        "other_processes_cpu_percent": measurement.other_cpu_percent,
        "memory_mib": measurement.memory_mib,
        "gpu_utilization_percent": gpu.utilisation_percent if gpu else None,
        "gpu_memory_mib": gpu.memory_mib if gpu else None,
        "requests": measurement.requests,
        "seconds": measurement.seconds,
        "windows": measurement.trials,
        "stable": measurement.stable,
        "throughput_spread_percent": 100 * measurement.throughput_spread,
        "latency_p99_spread_percent": 100 * measurement.latency_spread(99),
        "within_latency_budget": goal.allows(point),
        "equivalent_to_best": equivalent,
        "recommended": chosen,
        "same_as_configurations": "; ".join(other.label for other in point.same),
    }


def results_frame(analysis: Analysis) -> pd.DataFrame:
    """All points, in the order in which they were measured."""
    recommendation = analysis.recommendation
    goal = analysis.options.goal
    return pd.DataFrame([point_row(point, goal, recommendation) for point in analysis.points])


def results_document(analysis: Analysis) -> dict[str, Any]:
    """Everything, ready for `json.dumps`: model, machine, how it was measured, recommendation, points, failures."""
    recommendation = analysis.recommendation
    options = analysis.options
    rows = json.loads(results_frame(analysis).to_json(orient="records")) if analysis.points else []
    return {
        "model": options.model,
        "started": analysis.started.isoformat(timespec="seconds"),
        "seconds": round(analysis.seconds, 1),
        "interrupted": analysis.interrupted,
        "objective": options.goal.objective.value,
        "latency_budget_ms": options.goal.latency_budget_ms,
        "measurement": asdict(options.measurement),
        "machine": asdict(analysis.machine),
        "placeholder_weights": bool(analysis.subject.placeholder),
        "batchable": _batchable(analysis),
        "notes": analysis.notes,
        "recommendation": _recommendation(recommendation) if recommendation else None,
        "points": rows,
        "failures": [
            {"configuration": f.configuration.label, "concurrency": f.concurrency, "message": f.message}
            for f in analysis.failures
        ],
    }


def _recommendation(recommendation: Recommendation) -> dict[str, Any]:
    chosen = recommendation.chosen
    baseline = recommendation.baseline
    return {
        "sentence": recommendation.sentence(),
        "configuration": chosen.configuration.label,
        "max_batch_size": chosen.configuration.max_batch_size,
        "instances": chosen.configuration.instances,
        "concurrency": chosen.concurrency,
        "throughput_infer_per_s": chosen.measurement.throughput,
        "latency_p99_ms": chosen.measurement.latency_ms(99),
        "keeps_current": recommendation.keeps_current,
        "current_throughput_infer_per_s": baseline.measurement.throughput if baseline else None,
        "current_latency_p99_ms": baseline.measurement.latency_ms(99) if baseline else None,
        "gain_percent": None if recommendation.gain is None else 100 * recommendation.gain,
        "noise_percent": 100 * recommendation.noise,
        "gain_beyond_noise": recommendation.beyond_noise,
        "within_latency_budget": recommendation.within_budget,
        "equivalent": [point.configuration.label for point in recommendation.equivalent],
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
