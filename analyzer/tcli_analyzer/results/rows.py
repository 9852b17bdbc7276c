"""One point, or one window of it, as a flat row."""

import math
from datetime import UTC, datetime
from typing import Any

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.goal import Goal
from tcli_analyzer.guard import Accuracy
from tcli_analyzer.load import ClosedLoad, Load, OpenLoad
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.recommendation import Outcome, Recommendation
from tcli_analyzer.results.samples import Sample, name_of, why_not_clean
from tcli_analyzer.space import read_settings


def point_row(
    sample: Sample,
    goal: Goal,
    model: str,
    accuracy: Accuracy | None = None,
    recommendation: Recommendation | None = None,
) -> dict[str, Any]:
    """Times in ms, memory in MiB. What cannot be seen here is None.

    Values are those of the clean windows, where there are any. Latencies of an open loop count from when requests were due.

    Args:
        accuracy: of the configuration, where its answers were compared with the original's.
    """
    point = sample.point
    measured, windows = point.measured, point.windows
    gpu = measured.gpu
    p99 = measured.percentile(0.99)
    equivalent = recommendation.equivalent if recommendation is not None else ()
    return {
        "stage": sample.stage.value,
        "name": name_of(point.configuration, model),
        "configuration": point.configuration.label,
        "current": point.configuration.current,
        "max_batch_size": point.configuration.max_batch_size,
        "instances": point.configuration.instances,
        **_settings(point.configuration),
        **_load(point.load),
        "batch_size": point.items,
        "throughput_infer_per_s": measured.throughput,
        "latency_avg_ms": measured.latency_avg_ms,
        "latency_p50_ms": measured.latency_ms(0.50),
        "latency_p90_ms": measured.latency_ms(0.90),
        "latency_p95_ms": measured.latency_ms(0.95),
        "latency_p99_ms": measured.latency_ms(0.99),
        "latency_p99_low_ms": p99.low if p99.is_known else None,
        "latency_p99_high_ms": p99.high if p99.is_known else None,
        "independent_requests": p99.independent,
        **_counted(measured),
        "cpu_ms_per_inference": measured.cpu_ms_per_inference,
        "lost_processor_share": measured.lost_share,
        "memory_mib": measured.memory_mib,
        "gpu_utilization_percent": gpu.utilisation_percent if gpu else None,
        "gpu_memory_mib": gpu.memory_mib if gpu else None,
        "requests": measured.requests,
        "seconds": measured.seconds,
        "began": _moment(windows.windows[0].began) if windows.windows else None,
        "ended": _moment(windows.windows[-1].began + windows.windows[-1].seconds) if windows.windows else None,
        "windows": len(windows.windows),
        "clean_windows": len(windows.clean.windows),
        "flaw": point.flaw,
        "overloaded": any(window.overloaded for window in windows.windows),
        "counts": sample.probe.counts if sample.probe is not None else point.is_clean,
        "within_latency_budget": goal.allows(measured),
        **_accuracy(accuracy),
        "equivalent_to_recommended": any(point is other for other in equivalent),
        "recommended": recommendation is not None and is_recommended(recommendation, sample),
        "same_as_configurations": "; ".join(other.label for other in point.same),
    }


def _counted(measured: Windows) -> dict[str, float | None]:
    """What only the server's statistics tell."""
    parts = ("queue_ms", "compute_input_ms", "compute_infer_ms", "compute_output_ms", "other_ms", "batch_avg")
    names = (*parts[:-1], "executed_batch_avg")
    return {
        name: getattr(measured, part) if measured.is_counted else None for name, part in zip(names, parts, strict=True)
    }


def window_row(sample: Sample, number: int, window: Window, model: str) -> dict[str, Any]:
    """One window: where it comes from, what it says, whether that counts, and if not, why.

    Args:
        number: of the window in its point, from 0.
    """
    together = Windows([window])
    processor = window.processor
    return {
        "stage": sample.stage.value,
        "name": name_of(sample.point.configuration, model),
        "configuration": sample.point.configuration.label,
        **_load(sample.point.load),
        "batch_size": window.items,
        "window": number,
        "began": _moment(window.began),
        "seconds": window.seconds,
        "requests": len(window.latencies_ms),
        "throughput_infer_per_s": window.throughput,
        "latency_avg_ms": together.latency_avg_ms,
        "latency_p50_ms": together.latency_ms(0.50),
        "latency_p99_ms": together.latency_ms(0.99),
        "executed_batch_avg": together.batch_avg if together.is_counted else None,
        "late_ms": window.late_ms,
        "overloaded": window.overloaded,
        "memory_mib": window.memory_mib,
        "processor_own_s": processor.own if processor else None,
        "processor_waited_s": processor.wait if processor else None,
        "processor_others_s": processor.other if processor else None,
        "processor_stolen_s": processor.steal if processor else None,
        "processor_throttled_s": processor.throttled if processor else None,
        "lost_processor_share": processor.lost_share if processor else None,
        "verdict": window.disturbance.value,
        "clean": window.is_clean,
        "why_not": why_not_clean(window),
    }


def is_recommended(recommendation: Recommendation, sample: Sample) -> bool:
    """Whether it is the measurement of what is recommended; nothing is where nothing is decided."""
    return recommendation.outcome in (Outcome.TAKE, Outcome.KEEP) and recommendation.chosen is sample.point


def _settings(configuration: Configuration) -> dict[str, Any]:
    settings = read_settings(configuration.config)
    return {
        "engine": settings.engine,
        "provider": settings.provider,
        "precision": settings.precision,
        "threads": settings.threads or None,
        "queue_delay_us": settings.queue_delay_us,
        "preferred_batch_sizes": "+".join(map(str, settings.preferred_batch_sizes)),
        "graph_level": settings.graph_level,
    }


def _load(load: Load) -> dict[str, Any]:
    if isinstance(load, ClosedLoad):
        return {"concurrency": load.concurrency, "request_rate": None, "arrivals": ""}
    return {"concurrency": None, "request_rate": load.rate, "arrivals": _arrivals(load)}


def _arrivals(load: OpenLoad) -> str:
    return "recorded" if load.gaps_seconds else load.distribution.value


def _accuracy(accuracy: Accuracy | None) -> dict[str, Any]:
    relative = accuracy.relative if accuracy is not None and accuracy.outputs else None
    return {
        "accuracy_verdict": accuracy.verdict if accuracy is not None else "",
        "accuracy_largest_relative": relative if relative is not None and math.isfinite(relative) else None,
        "accuracy_top1_low": accuracy.top1.low if accuracy is not None and accuracy.top1 is not None else None,
    }


def _moment(seconds: float) -> str:
    """In UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
