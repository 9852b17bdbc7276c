"""Prometheus families of the distributions of models' times, and of the sizes of their batches."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.metrics_core import Metric

from tcli_server.models.model import Model
from tcli_server.observability import distributions as kept
from tcli_server.observability.custom_metrics import bound_text
from tcli_server.observability.distributions import Distributions, Histogram
from tcli_server.observability.metrics_options import BATCH_SIZE, FIRST_RESPONSE, REQUEST_DURATION
from tcli_server.observability.statistics import InferenceStatistics

Labels = dict[str, str]
_Kept = tuple[InferenceStatistics, Distributions, Labels]

_HISTOGRAMS: tuple[tuple[str, str, Callable[[Distributions], Histogram | None]], ...] = (
    (REQUEST_DURATION, "Seconds from arrival to answer", lambda one: one.request_duration),
    (
        FIRST_RESPONSE,
        "Milliseconds from arrival to the first response of a decoupled model",
        lambda one: one.first_response,
    ),
)

_SUMMARIES = {
    kept.REQUEST: "Microseconds from arrival to answer",
    kept.QUEUE: "Microseconds of waiting for an instance",
    kept.COMPUTE_INPUT: "Microseconds of gathering inputs",
    kept.COMPUTE_INFER: "Microseconds of running the model",
    kept.COMPUTE_OUTPUT: "Microseconds of giving out outputs",
    kept.CACHE_HIT: "Microseconds of looking up what was in the response cache",
    kept.CACHE_MISS: "Microseconds of looking up and keeping what was not in the response cache",
}


def distribution_families(models: Iterable[tuple[Model, Labels]], quantiles: Sequence[float]) -> Iterator[Metric]:
    """Every family that some model has.

    Args:
        quantiles: of the summaries, ascending.
    """
    known = [
        (model.statistics, model.statistics.distributions, labels)
        for model, labels in models
        if model.statistics.distributions is not None
    ]
    yield from _histograms(known)
    yield from _summaries(known, quantiles)


def _histograms(known: Sequence[_Kept]) -> Iterator[Metric]:
    for name, documentation, of_model in _HISTOGRAMS:
        family = Metric(name, documentation, "histogram")
        for _, distributions, labels in known:
            histogram = of_model(distributions)
            if histogram is not None:
                with distributions.lock:
                    counts, total = list(histogram.counts), histogram.total
                _add_histogram(family, labels, histogram.bounds, counts, total)
        if family.samples:
            yield family
    sizes = Metric(BATCH_SIZE, "Inferences in an execution", "histogram")
    for statistics, distributions, labels in known:
        if distributions.batch_buckets:
            histogram = Histogram(distributions.batch_buckets)
            for size, count in statistics.executions().items():
                histogram.observe(size, count)
            _add_histogram(sizes, labels, histogram.bounds, histogram.counts, histogram.total)
    if sizes.samples:
        yield sizes


def _add_histogram(
    family: Metric, labels: Labels, bounds: Sequence[float], counts: Sequence[int], total: float
) -> None:
    below = list(itertools.accumulate(counts))
    family.add_sample(f"{family.name}_count", labels, below[-1])
    family.add_sample(f"{family.name}_sum", labels, total)
    for bound, count in zip((*map(bound_text, bounds), "+Inf"), below, strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)


def _summaries(known: Sequence[_Kept], quantiles: Sequence[float]) -> Iterator[Metric]:
    now_ns = time.monotonic_ns()
    for name, documentation in _SUMMARIES.items():
        family = Metric(name, documentation, "summary")
        for _, distributions, labels in known:
            summary = distributions.summaries.get(name)
            if summary is None:
                continue
            with distributions.lock:
                count, total_ns = summary.count, summary.total_ns
                found = summary.quantiles(quantiles, now_ns)
            family.add_sample(f"{name}_count", labels, count)
            family.add_sample(f"{name}_sum", labels, total_ns // 1000)
            for quantile, ns in zip(quantiles, found, strict=True):
                family.add_sample(name, {**labels, "quantile": bound_text(quantile)}, ns / 1000)
        if family.samples:
            yield family
