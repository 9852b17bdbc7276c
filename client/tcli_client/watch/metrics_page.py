"""What is read from a metrics page: Triton's families, and the histogram of requests' times."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Series

from tcli_client.watch.sample import Buckets, Gpu, Key, Machine, ModelSample

_REQUESTS = "nv_inference_request_success"
_FAILURES = "nv_inference_request_failure"
_INFERENCES = "nv_inference_count"
_EXECUTIONS = "nv_inference_exec_count"
_REQUEST_US = "nv_inference_request_duration_us"
_QUEUE_US = "nv_inference_queue_duration_us"
_COUNTERS = (_REQUESTS, _FAILURES, _INFERENCES, _EXECUTIONS, _REQUEST_US, _QUEUE_US)
_PENDING = "nv_inference_pending_request_count"
_HISTOGRAM = "tcli_request_duration_seconds"
_SUMMARY = "nv_inference_request_summary_us"
_CPU = "nv_cpu_utilization"
_MEMORY_USED, _MEMORY_TOTAL = "nv_cpu_memory_used_bytes", "nv_cpu_memory_total_bytes"
_MACHINE = (_CPU, _MEMORY_USED, _MEMORY_TOTAL)
_GPU = {
    "nv_gpu_utilization": "utilisation",
    "nv_gpu_memory_used_bytes": "memory_used_bytes",
    "nv_gpu_memory_total_bytes": "memory_total_bytes",
    "nv_gpu_power_usage": "power_watts",
}
_LARGEST = 2.0**64
"""No counter gets so far."""

_READ = (*_COUNTERS, _PENDING, f"{_HISTOGRAM}_bucket", _SUMMARY, *_MACHINE, *_GPU)


@dataclass
class _Model:
    counters: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)
    quantiles: dict[float, float] = field(default_factory=dict)
    pending: float | None = None


class MetricsPageError(ValueError):
    """A page is not in Prometheus' text format."""


def read_page(text: str) -> tuple[dict[Key, ModelSample], Machine]:
    """Models with their counters, and the machine.

    Series of one model that differ in other labels (a GPU, a reason, a tag) are added. What is no number that they may have is left out.

    Raises:
        MetricsPageError: it cannot be read.
    """
    models: dict[Key, _Model] = {}
    machine: dict[str, float] = {}
    gpus: dict[str, Gpu] = {}
    for series in _series(text):
        name, labels, value = series.name, series.labels, series.value
        if not abs(value) < _LARGEST:  # also what is no number
            continue
        if name in _MACHINE:
            machine[name] = value
        elif name in _GPU:
            uuid = labels.get("gpu_uuid", "")
            gpus[uuid] = replace(gpus.get(uuid, Gpu()), **{_GPU[name]: value})
        elif "model" in labels:
            key = (labels["model"], labels.get("version", ""))
            _count(models.setdefault(key, _Model()), name, labels, value)
    known = {key: _model(found) for key, found in models.items()}
    return known, Machine(machine.get(_CPU), machine.get(_MEMORY_USED), machine.get(_MEMORY_TOTAL), gpus)


def _series(text: str) -> Iterable[Series]:
    """Those that are read; the others cost only a look at the beginning of their lines."""
    lines = "".join(f"{line}\n" for line in text.split("\n") if line.startswith(_READ))
    try:
        for family in text_string_to_metric_families(lines):
            yield from family.samples
    except (ValueError, KeyError, IndexError) as problem:
        raise MetricsPageError(str(problem)) from None


def _count(model: _Model, name: str, labels: dict[str, str], value: float) -> None:
    if name == _PENDING:
        model.pending = (model.pending or 0.0) + value
    elif name == f"{_HISTOGRAM}_bucket":
        bound = _number(labels.get("le", ""))
        if bound > 0:
            model.buckets[bound] = model.buckets.get(bound, 0.0) + value
    elif name == _SUMMARY:
        share = _number(labels.get("quantile", ""))
        if 0 <= share <= 1:  # of several GPUs the slowest
            model.quantiles[share] = max(model.quantiles.get(share, 0.0), value / 1e6)
    elif name in _COUNTERS:
        model.counters[name] = model.counters.get(name, 0.0) + value


def _model(found: _Model) -> ModelSample:
    counted = {name: int(found.counters.get(name, 0)) for name in _COUNTERS}
    bounds = sorted(found.buckets)
    return ModelSample(
        requests=counted[_REQUESTS],
        failures=counted[_FAILURES],
        inferences=counted[_INFERENCES],
        executions=counted[_EXECUTIONS],
        request_ns=1000 * counted[_REQUEST_US],
        queue_ns=1000 * counted[_QUEUE_US],
        pending=found.pending,
        durations=Buckets(bounds, [found.buckets[bound] for bound in bounds]) if bounds else None,
        quantiles=dict(found.quantiles),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
