"""Everything in one JSON document."""

from dataclasses import asdict
from typing import Any

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.earlier import SCHEMA
from tcli_analyzer.evidence.pairs import LEAST_PAIRS, Comparison
from tcli_analyzer.goal import Goal
from tcli_analyzer.prediction.stored import write_tables
from tcli_analyzer.rate.found import RateFound
from tcli_analyzer.recommendation import Outcome, Recommendation
from tcli_analyzer.results.finals import finals_json
from tcli_analyzer.results.frames import points_frame, windows_frame
from tcli_analyzer.results.plain import plain, records
from tcli_analyzer.results.samples import name_of
from tcli_analyzer.searching.found import Prediction


def results_document(analysis: Analysis) -> dict[str, Any]:
    """Ready for `json.dumps`: model, machine, how it was measured, recommendation, points, windows, pairs, failures."""
    recommendation = analysis.recommendation
    options = analysis.options
    document = {
        "schema_version": SCHEMA,
        "model": options.model,
        "started": analysis.started.isoformat(timespec="seconds"),
        "seconds": round(analysis.seconds, 1),
        "interrupted": analysis.interrupted,
        "resumed_windows": analysis.resumed,
        "objective": options.goal.objective.value,
        "latency_budget_ms": options.goal.latency_budget_ms,
        "slo": options.slo.text if options.slo is not None else None,
        "where": analysis.where,
        "search": options.search.value,
        "measurement": {"window_seconds": options.window_seconds, "tie": options.tie, "seed": options.seed},
        "machine": asdict(analysis.machine),
        "placeholder_weights": bool(analysis.subject.placeholder),
        "batchable": _batchable(analysis),
        "notes": analysis.notes,
        "recommendation": _recommendation(recommendation, options.model) if recommendation else None,
        "points": records(points_frame(analysis)),
        "windows": records(windows_frame(analysis)),
        "finals": finals_json(analysis.finals, analysis.subject.default) if analysis.finals is not None else None,
        "accuracy": {
            name_of(configuration, options.model): {
                "configuration": configuration.label,
                "sentence": accuracy.sentence,
                **accuracy.to_json(),
            }
            for configuration, accuracy in analysis.accuracy.items()
        },
        "rates": [_rate(found, options.model) for found in analysis.rates.values()],
        "prediction": _prediction(analysis.prediction) if analysis.prediction is not None else None,
        "identity": dict(analysis.identity),
        "generator": asdict(analysis.generator) if analysis.generator is not None else None,
        "neighbours": dict(analysis.neighbours.busiest(10)),
        "failures": [
            {
                "name": name_of(failure.configuration, options.model),
                "configuration": failure.configuration.label,
                "load": failure.load.label if failure.load is not None else None,
                "message": failure.reason,
            }
            for failure in analysis.failures
        ],
    }
    return dict(plain(document))


def _recommendation(recommendation: Recommendation, model: str) -> dict[str, Any]:
    chosen, baseline = recommendation.chosen, recommendation.baseline
    proven = recommendation.outcome is not Outcome.UNDECIDED
    return {
        "outcome": recommendation.outcome.value,
        "sentence": recommendation.sentence(),
        "name": name_of(chosen.configuration, model),
        "configuration": chosen.configuration.label,
        "max_batch_size": chosen.configuration.max_batch_size,
        "instances": chosen.configuration.instances,
        "load": chosen.load.label,
        "throughput_infer_per_s": chosen.measured.throughput if proven else None,
        "latency_p99_ms": chosen.measured.latency_ms(0.99) if proven else None,
        "memory_mib": chosen.measured.memory_mib,
        "cpu_ms_per_inference": chosen.measured.cpu_ms_per_inference,
        "keeps_current": recommendation.keeps_current,
        "may_be_applied": recommendation.may_be_applied,
        "current_throughput_infer_per_s": baseline.measured.throughput if baseline else None,
        "current_latency_p99_ms": baseline.measured.latency_ms(0.99) if baseline else None,
        "gain_over_current": _gain(recommendation.gain, recommendation.goal),
        "gain_over_defaults": _gain(recommendation.over_default, recommendation.goal),
        "equivalent": [point.configuration.label for point in recommendation.equivalent],
    }


def _gain(compared: Comparison | None, goal: Goal) -> dict[str, Any] | None:
    """None where the pairs are too few to say anything."""
    if compared is None or compared.pairs < LEAST_PAIRS:
        return None
    compared = goal.said(compared)
    return {
        "of": goal.gained,
        "percent": 100 * compared.gain,
        "low_percent": 100 * compared.low,
        "high_percent": 100 * compared.high,
        "pairs": compared.pairs,
        "verdict": compared.verdict.value,
        "by_signs": compared.by_signs,
    }


def _rate(found: RateFound, model: str) -> dict[str, Any]:
    return {
        "name": name_of(found.configuration, model),
        "configuration": found.configuration.label,
        "slo": found.slo.text,
        "verdict": found.verdict.value,
        "sentence": found.sentence,
        "may_be_claimed": found.is_claim,
        "rate": found.rate,
        "low": found.low,
        "high": found.high,
        "estimate": found.estimate,
        "binding": found.binding.text if found.binding is not None else None,
        "value_ms": found.value_ms,
        "alone_ms": found.alone_ms,
        "capacity": found.capacity,
        "requests": found.requests,
        "confirmed_requests": found.confirmed_requests,
        "needed_requests": found.needed_requests,
        "probes": [
            {
                "rate": probe.rate,
                "purpose": probe.purpose.value,
                "counts": probe.counts,
                "clean": probe.is_clean,
                "overloaded": probe.overloaded,
                "requests": probe.windows.requests,
                "latency_p50_ms": probe.windows.latency_ms(0.50),
                "latency_p99_ms": probe.windows.latency_ms(0.99),
            }
            for probe in found.probes
        ],
    }


def _prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "sentence": prediction.sentence(),
        "agreement": {kind: asdict(found) for kind, found in prediction.agreement.items()},
        "not_measured": prediction.not_measured,
        "unpredicted": prediction.unpredicted,
        "chance": prediction.chance,
        "margin": prediction.margin,
        "stopped_by": prediction.stopped_by,
        "fallback": prediction.fallback,
        "notes": list(prediction.notes),
        "tables": write_tables(prediction.tables),
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
