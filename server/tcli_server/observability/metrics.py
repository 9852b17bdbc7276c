"""Triton's Prometheus families, read from the engine at the moment of a scrape."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from tcli_server.backends import AnsweringInstance
from tcli_server.caching.cache import CacheUse
from tcli_server.engine import Engine
from tcli_server.hardware.gpu import gpu_uuid
from tcli_server.models.model import Model
from tcli_server.models.on_demand import OnDemand
from tcli_server.observability.custom_metrics import CustomMetrics
from tcli_server.observability.distribution_metrics import distribution_families
from tcli_server.observability.log import LOG
from tcli_server.observability.metrics_options import MetricsOptions
from tcli_server.observability.on_demand_metrics import on_demand_families
from tcli_server.observability.system import SystemPoller
from tcli_server.observability.system_metrics import SystemCollector, single

if TYPE_CHECKING:
    from tcli_server.scheduling.limits.rate_limiter import ResourceUse

CONTENT_TYPE = "text/plain; charset=utf-8"

Labels = dict[str, str]

_PER_MODEL: tuple[tuple[str, str, str, Callable[[Model], int]], ...] = (
    (
        "nv_inference_request_success",
        "counter",
        "Requests answered, whatever their batch size",
        lambda model: model.statistics.success_count,
    ),
    (
        "nv_inference_count",
        "counter",
        "Inferences: a request of batch size n counts n",
        lambda model: model.statistics.inference_count,
    ),
    (
        "nv_inference_exec_count",
        "counter",
        "Executions: a batch of several requests counts 1",
        lambda model: model.statistics.execution_count,
    ),
    (
        "nv_inference_pending_request_count",
        "gauge",
        "Requests that wait for an instance now",
        lambda model: model.pending,
    ),
)

_DURATIONS: tuple[tuple[str, str, str, Callable[[Model], int]], ...] = (
    (
        "nv_inference_request_duration_us",
        "counter",
        "Microseconds from arrival to answer, summed over requests",
        lambda model: model.statistics.success_ns // 1000,
    ),
    (
        "nv_inference_queue_duration_us",
        "counter",
        "Microseconds of waiting for an instance, summed over requests",
        lambda model: model.statistics.queue_ns // 1000,
    ),
    (
        "nv_inference_compute_input_duration_us",
        "counter",
        "Microseconds of gathering inputs, summed over requests",
        lambda model: model.statistics.compute_input_ns // 1000,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Microseconds of running the model, summed over requests",
        lambda model: model.statistics.compute_infer_ns // 1000,
    ),
    (
        "nv_inference_compute_output_duration_us",
        "counter",
        "Microseconds of giving out outputs, summed over requests",
        lambda model: model.statistics.compute_output_ns // 1000,
    ),
)
"""Sums, unless `counter_latencies=false`."""

_PER_CACHED_MODEL: tuple[tuple[str, str, str, Callable[[Model], float]], ...] = (
    (
        "nv_cache_num_hits_per_model",
        "counter",
        "Requests answered from the response cache",
        lambda model: model.statistics.hit_count,
    ),
    (
        "nv_cache_num_misses_per_model",
        "counter",
        "Requests that were not in the response cache",
        lambda model: model.statistics.miss_count,
    ),
)

_CACHED_DURATIONS: tuple[tuple[str, str, str, Callable[[Model], float]], ...] = (
    (
        "nv_cache_hit_duration_per_model",
        "counter",
        "Microseconds of looking up what was there, summed over requests",
        lambda model: model.statistics.hit_ns // 1000,
    ),
    (
        "nv_cache_miss_duration_per_model",
        "counter",
        "Microseconds of looking up and keeping what was not there, summed over requests",
        lambda model: model.statistics.miss_ns // 1000,
    ),
)

_PER_CACHE: tuple[tuple[str, str, Callable[[CacheUse], float]], ...] = (
    ("nv_cache_num_entries", "Responses in the cache", lambda use: use.entries),
    ("nv_cache_util", "Share of the cache that is used, 0.0 to 1.0", lambda use: use.used_bytes / use.size),
    ("nv_cache_num_lookups", "Lookups", lambda use: use.lookups),
    ("nv_cache_num_hits", "Lookups that found something", lambda use: use.hits),
    ("nv_cache_num_misses", "Lookups that found nothing", lambda use: use.lookups - use.hits),
    ("nv_cache_num_evictions", "Responses that made room for others", lambda use: use.evictions),
    ("nv_cache_lookup_duration", "Microseconds of all lookups", lambda use: use.lookup_ns // 1000),
    ("nv_cache_insertion_duration", "Microseconds of all insertions", lambda use: use.insertion_ns // 1000),
)

_PER_RESOURCE: tuple[tuple[str, str, str, Callable[["ResourceUse"], int]], ...] = (
    ("nv_rate_limiter_resource_amount", "gauge", "How much there is of a resource", lambda use: use.amount),
    ("nv_rate_limiter_resource_used", "gauge", "How much of it instances hold that run", lambda use: use.used),
    ("nv_rate_limiter_waiting_count", "gauge", "Instances that wait because of it now", lambda use: use.waiting),
    (
        "nv_rate_limiter_wait_duration_us",
        "counter",
        "Microseconds that instances waited because of it, summed",
        lambda use: use.wait_ns // 1000,
    ),
)

_PER_WORKER: tuple[tuple[str, str, str, Callable[[AnsweringInstance], int]], ...] = (
    (
        "tcli_worker_restarts",
        "counter",
        "Processes of an instance that took the place of one that ended",
        lambda one: one.restarts,
    ),
    (
        "tcli_worker_shared_memory_bytes",
        "gauge",
        "Memory that an instance shares with its process, bytes",
        lambda one: one.memory_size,
    ),
)


class ServerCollector(Collector):
    """A Prometheus collector of an engine's models and of the machine.

    Args:
        poller: where the machine's gauges come from; its `cpu` and `gpu` say which of them are shown.
    """

    def __init__(self, engine: Engine, poller: SystemPoller) -> None:
        self._engine = engine
        self._system = SystemCollector(poller)

    def collect(self) -> Iterator[Metric]:
        """Every family; the models' only once a model is loaded."""
        yield from engine_families(self._engine)
        yield from self._system.collect()


def engine_families(engine: Engine) -> Iterator[Metric]:
    """Every family of an engine; the models' only once a model is loaded."""
    models = engine.models()
    if models:
        yield from _model_families(models, engine.options.metrics)
    if isinstance(engine.demand, OnDemand):
        yield from on_demand_families(engine.demand)
    cache = engine.response_cache
    if cache is not None:
        use = cache.use()
        for name, documentation, read in _PER_CACHE:
            yield single(name, documentation, read(use))
    if engine.rate_limiter is not None:
        yield from _resource_families(engine.rate_limiter.use())
    yield from _custom_families(engine.custom_metrics)


def _model_families(models: Sequence[Model], options: MetricsOptions) -> Iterator[Metric]:
    labelled = [(model, _labels(model)) for model in models]
    durations, cached_durations = (_DURATIONS, _CACHED_DURATIONS) if options.counter_latencies else ((), ())
    failures = Metric("nv_inference_request_failure", "Requests that failed, by reason", "counter")
    for model, labels in labelled:
        for reason, count in model.statistics.failure_count.items():
            failures.add_sample(failures.name, {**labels, "reason": str(reason)}, count)
    yield failures
    for name, kind, documentation, read in (*_PER_MODEL, *durations):
        family = Metric(name, documentation, kind)
        for model, labels in labelled:
            family.add_sample(name, labels, read(model))
        yield family
    cached = [(model, labels) for model, labels in labelled if model.is_cached]
    for name, kind, documentation, counted in (*_PER_CACHED_MODEL, *cached_durations) if cached else ():
        family = Metric(name, documentation, kind)
        for model, labels in cached:
            family.add_sample(name, labels, counted(model))
        yield family
    yield from distribution_families(labelled, options.summary_quantiles)
    yield from _worker_families(labelled)
    load = Metric("nv_model_load_duration_secs", "Seconds that loading took", "gauge")
    for model, labels in labelled:
        load.add_sample(load.name, labels, model.load_seconds)
    yield load


def _worker_families(models: Sequence[tuple[Model, Labels]]) -> Iterator[Metric]:
    workers = [
        (placed.instance, {**labels, "instance": placed.placement.name})
        for model, labels in models
        for placed in model.instances
        if isinstance(placed.instance, AnsweringInstance)
    ]
    for name, kind, documentation, read in _PER_WORKER if workers else ():
        family = Metric(name, documentation, kind)
        for instance, labels in workers:
            family.add_sample(name, labels, read(instance))
        yield family


def _custom_families(metrics: CustomMetrics) -> Iterator[Metric]:
    for family, series in metrics.shown():
        shown = Metric(family.name, _escape_help(family.description), family.kind.value)
        for one in series:
            for name, labels, value in one.samples():
                shown.add_sample(name, dict(labels), value)
        yield shown


def _resource_families(resources: Sequence["ResourceUse"]) -> Iterator[Metric]:
    for name, kind, documentation, read in _PER_RESOURCE if resources else ():
        family = Metric(name, documentation, kind)
        for use in resources:
            family.add_sample(name, {"resource": use.name, "device": use.device}, read(use))
        yield family


def _labels(model: Model) -> Labels:
    labels = {"model": model.name, "version": str(model.version)}
    if model.namespace:
        labels["namespace"] = model.namespace
    for tag, value in model.config.metric_tags.items():
        labels[f"_{tag}"] = value
    gpus = {placement.gpu for placement in model.placements}
    if len(gpus) == 1 and (gpu := gpus.pop()) is not None:
        try:
            labels["gpu_uuid"] = gpu_uuid(gpu)
        except Exception as error:  # a driver that does not answer: the other models' counters are still worth showing
            LOG.debug("no UUID of GPU %d: %s", gpu, error)
    return labels


def exposition(families: Iterable[Metric]) -> bytes:
    """Prometheus' text format.

    prometheus-client's own writer ends every counter's name in `_total`; Triton's counters have no such ending, and
    dashboards ask for them by name.
    """
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.documentation}\n# TYPE {family.name} {family.type}\n")
        lines += map(_line, family.samples)
    return "".join(lines).encode(errors="backslashreplace")


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sorted(sample.labels.items()))
    value = _number(sample.value)
    return f"{sample.name}{{{labels}}} {value}\n" if labels else f"{sample.name} {value}\n"


def _number(value: float) -> str:
    """As Prometheus writes numbers."""
    if math.isfinite(value):
        return str(value).removesuffix(".0")
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
