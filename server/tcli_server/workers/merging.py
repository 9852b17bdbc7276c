"""Adds up what several workers counted."""

import math
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample
from tritonclient.grpc import service_pb2

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A sample's name and labels."""

_LARGEST = {"nv_model_load_duration_secs"}
_MEAN = {"nv_cache_util"}
_QUANTILE = "quantile"
_COUNTING = {
    "nv_cache_num_lookups",
    "nv_cache_num_hits",
    "nv_cache_num_misses",
    "nv_cache_num_evictions",
    "nv_cache_lookup_duration",
    "nv_cache_insertion_duration",
}
"""Gauges, as Triton calls them, that only grow."""


def series(sample: Sample) -> Series:
    """What a sample is of."""
    return sample.name, tuple(sorted(sample.labels.items()))


def only_grows(family: Metric, labels: Iterable[str]) -> bool:
    """Whether a sample counts what has happened, so that that of a worker that ended still belongs to the sum."""
    if family.type == "summary":
        return _QUANTILE not in labels
    return family.type in ("counter", "histogram") or family.name in _COUNTING


def add_statistics(total: service_pb2.ModelStatistics, more: service_pb2.ModelStatistics) -> None:
    """Add the statistics of one model in one worker to a sum of others."""
    total.last_inference = max(total.last_inference, more.last_inference)
    total.inference_count += more.inference_count
    total.execution_count += more.execution_count
    _add_durations(total.inference_stats, more.inference_stats)
    sizes = {batch.batch_size: batch for batch in total.batch_stats}
    for batch in more.batch_stats:
        known = sizes.get(batch.batch_size)
        if known is None:
            total.batch_stats.add().CopyFrom(batch)
        else:
            _add_durations(known, batch)
    total.batch_stats.sort(key=lambda batch: batch.batch_size)


def _add_durations(total: object, more: object) -> None:
    """Add every StatisticDuration of a message."""
    for field in total.DESCRIPTOR.fields:  # type: ignore[attr-defined]
        if field.message_type is service_pb2.StatisticDuration.DESCRIPTOR:
            sum_, one = getattr(total, field.name), getattr(more, field.name)
            sum_.count += one.count
            sum_.ns += one.ns
            sum_.SetInParent()


def merged_families(reports: Iterable[Sequence[Metric]], ended: Mapping[Series, float]) -> list[Metric]:
    """One set of families of all workers.

    Args:
        ended: what workers that are gone had counted, by series; shown with what a worker that is there counts alike.
    """
    families: dict[str, Metric] = {}
    values: dict[str, dict[Series, list[float]]] = {}
    for report in reports:
        for family in report:
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            of_family = values.setdefault(family.name, {})
            for sample in family.samples:
                of_family.setdefault(series(sample), []).append(sample.value)
    for name, family in families.items():
        for key, found in values[name].items():
            labels = dict(key[1])
            if family.type == "summary" and _QUANTILE in labels:
                value = _largest(found)
            else:
                value = _together(name, found) + (ended.get(key, 0) if only_grows(family, labels) else 0)
            family.add_sample(key[0], labels, value)
    return list(families.values())


def _largest(quantiles: Sequence[float]) -> float:
    """What the quantile of all together is not above; NaN if no worker observed anything."""
    return max((value for value in quantiles if not math.isnan(value)), default=math.nan)


def _together(name: str, values: Sequence[float]) -> float:
    if name in _LARGEST:
        return max(values)
    return sum(values) / (len(values) if name in _MEAN else 1)
