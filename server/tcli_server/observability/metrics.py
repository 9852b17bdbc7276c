"""Triton's Prometheus families, read from the engine at the moment of a scrape."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from tcli_server.engine import Engine
from tcli_server.model import Model
from tcli_server.observability.gpu import GpuUsage, gpu_uuid
from tcli_server.observability.system import SystemPoller

CONTENT_TYPE = "text/plain; charset=utf-8"

Labels = dict[str, str]

_PER_MODEL: tuple[tuple[str, str, str, Callable[[Model], int]], ...] = (
    (
        "nv_inference_request_success",
        "counter",
        "Number of successful inference requests, all batch sizes",
        lambda model: model.statistics.success_count,
    ),
    (
        "nv_inference_count",
        "counter",
        "Number of inferences performed (does not include cached requests)",
        lambda model: model.statistics.inference_count,
    ),
    (
        "nv_inference_exec_count",
        "counter",
        "Number of model executions performed (does not include cached requests)",
        lambda model: model.statistics.execution_count,
    ),
    (
        "nv_inference_request_duration_us",
        "counter",
        "Cumulative inference request duration in microseconds (includes cached requests)",
        lambda model: model.statistics.success_ns // 1000,
    ),
    (
        "nv_inference_queue_duration_us",
        "counter",
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
        lambda model: model.statistics.queue_ns // 1000,
    ),
    (
        "nv_inference_compute_input_duration_us",
        "counter",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        lambda model: model.statistics.compute_input_ns // 1000,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        lambda model: model.statistics.compute_infer_ns // 1000,
    ),
    (
        "nv_inference_compute_output_duration_us",
        "counter",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        lambda model: model.statistics.compute_output_ns // 1000,
    ),
    (
        "nv_inference_pending_request_count",
        "gauge",
        "Instantaneous number of pending requests awaiting execution per-model.",
        lambda model: model.pending,
    ),
)

_PER_GPU: tuple[tuple[str, str, str, Callable[[GpuUsage], float | None]], ...] = (
    ("nv_gpu_utilization", "gauge", "GPU utilization rate [0.0 - 1.0)", lambda gpu: gpu.utilization),
    ("nv_gpu_memory_total_bytes", "gauge", "GPU total memory, in bytes", lambda gpu: gpu.memory_total),
    ("nv_gpu_memory_used_bytes", "gauge", "GPU used memory, in bytes", lambda gpu: gpu.memory_used),
    ("nv_gpu_power_usage", "gauge", "GPU power usage in watts", lambda gpu: gpu.power_usage),
    ("nv_gpu_power_limit", "gauge", "GPU power management limit in watts", lambda gpu: gpu.power_limit),
)


class ServerCollector(Collector):
    """A Prometheus collector of an engine's models and of the machine.

    Args:
        poller: where the machine's gauges come from; its `cpu` and `gpu` say which of them are shown.
    """

    def __init__(self, engine: Engine, poller: SystemPoller) -> None:
        self._engine = engine
        self._poller = poller
        # NVML counts energy from the driver's start, Triton's counter begins with the server.
        self._first_energy = {gpu.uuid: gpu.energy for gpu in poller.usage.gpus}

    def collect(self) -> Iterator[Metric]:
        """Every family; the models' only once a model is loaded."""
        models = self._engine.models()
        if models:
            yield from _model_families(models)
        usage = self._poller.usage
        if self._poller.gpu:
            yield from self._gpu_families(usage.gpus)
        if self._poller.cpu:
            yield _single("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", usage.cpu_utilization)
            yield _single("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", usage.memory_total)
            yield _single("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", usage.memory_used)

    def _gpu_families(self, gpus: list[GpuUsage]) -> Iterator[Metric]:
        for name, kind, documentation, read in _PER_GPU:
            family = Metric(name, documentation, kind)
            for gpu in gpus:
                value = read(gpu)
                if value is not None:
                    family.add_sample(name, {"gpu_uuid": gpu.uuid}, value)
            yield family
        energy = Metric(
            "nv_energy_consumption", "GPU energy consumption in joules since the Triton Server started", "counter"
        )
        for gpu in gpus:
            first = self._first_energy.get(gpu.uuid)
            if gpu.energy is not None and first is not None:
                energy.add_sample(energy.name, {"gpu_uuid": gpu.uuid}, gpu.energy - first)
        yield energy


def _model_families(models: list[Model]) -> Iterator[Metric]:
    labelled = [(model, _labels(model)) for model in models]
    failures = Metric("nv_inference_request_failure", "Number of failed inference requests, all batch sizes", "counter")
    for model, labels in labelled:
        for reason, count in model.statistics.failure_count.items():
            failures.add_sample(failures.name, {**labels, "reason": str(reason)}, count)
    yield failures
    for name, kind, documentation, read in _PER_MODEL:
        family = Metric(name, documentation, kind)
        for model, labels in labelled:
            family.add_sample(name, labels, read(model))
        yield family
    load = Metric("nv_model_load_duration_secs", "Model load time in seconds", "gauge")
    for model, labels in labelled:
        load.add_sample(load.name, labels, model.load_seconds)
    yield load


def _labels(model: Model) -> Labels:
    labels = {"model": model.name, "version": str(model.version)}
    for tag, value in model.config.metric_tags.items():
        labels[f"_{tag}"] = value
    gpus = {placement.gpu for placement in model.placements}
    if len(gpus) == 1 and (gpu := gpus.pop()) is not None:
        labels["gpu_uuid"] = gpu_uuid(gpu)
    return labels


def _single(name: str, documentation: str, value: float) -> Metric:
    family = Metric(name, documentation, "gauge")
    family.add_sample(name, {}, value)
    return family


def exposition(families: Iterable[Metric]) -> bytes:
    """Prometheus' text format.

    prometheus-client's own writer ends every counter's name in `_total`; Triton's counters have no such ending, and
    dashboards ask for them by name.
    """
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.documentation}\n# TYPE {family.name} {family.type}\n")
        lines += map(_line, family.samples)
    return "".join(lines).encode()


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}} {sample.value}\n" if labels else f"{sample.name} {sample.value}\n"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
