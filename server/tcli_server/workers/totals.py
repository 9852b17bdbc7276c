"""What all workers counted, those that have ended too: a counter never goes backwards."""

import threading
from collections.abc import Hashable, Iterable

from prometheus_client.metrics_core import Metric
from tritonclient.grpc import service_pb2

from tcli_server.workers.merging import Series, add_statistics, merged_families, only_grows, series
from tcli_server.workers.messages import Report

_Key = tuple[str, str]
"""A model's name and version."""


class Totals:
    """The last report of each worker, and the sums of those that are gone.

    A worker is whatever the caller knows it by. None reports once it has ended, or it would count twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[Hashable, Report] = {}
        self._ended: dict[_Key, service_pb2.ModelStatistics] = {}
        self._ended_series: dict[Series, float] = {}

    def told(self, worker: Hashable, report: Report) -> None:
        """A worker has reported; one that overtook a later report is left out."""
        with self._lock:
            before = self._last.get(worker)
            if before is None or before.number < report.number:
                self._last[worker] = report

    def ended(self, worker: Hashable) -> None:
        """A worker is gone: what it reported last goes on counting."""
        with self._lock:
            report = self._last.pop(worker, None)
            if report is None:
                return
            for one in service_pb2.ModelStatisticsResponse.FromString(report.statistics).model_stats:
                _add(self._ended, one)
            for family in report.families:
                for sample in family.samples:
                    if only_grows(family, sample.labels):
                        key = series(sample)
                        self._ended_series[key] = self._ended_series.get(key, 0) + sample.value

    def models(self, workers: Iterable[Hashable]) -> set[str]:
        """The models that some of these workers have loaded, by their last reports."""
        with self._lock:
            reports = [self._last[worker] for worker in workers if worker in self._last]
        statistics = (service_pb2.ModelStatisticsResponse.FromString(report.statistics) for report in reports)
        return {one.name for of_one in statistics for one in of_one.model_stats}

    def forget(self, model: str) -> None:
        """A model was unloaded: it begins anew when it is loaded again."""
        with self._lock:
            self._ended = {key: one for key, one in self._ended.items() if key[0] != model}
            self._ended_series = {
                key: value for key, value in self._ended_series.items() if ("model", model) not in key[1]
            }

    def statistics(self) -> service_pb2.ModelStatisticsResponse:
        """Of each model version, of all workers."""
        with self._lock:
            sums: dict[_Key, service_pb2.ModelStatistics] = {}
            for report in self._last.values():
                for one in service_pb2.ModelStatisticsResponse.FromString(report.statistics).model_stats:
                    _add(sums, one)
            for one in self._ended.values():
                _add(sums, one)
        return service_pb2.ModelStatisticsResponse(model_stats=sums.values())

    def families(self) -> list[Metric]:
        """Metrics of all workers together."""
        with self._lock:
            return merged_families([report.families for report in self._last.values()], self._ended_series)


def _add(sums: dict[_Key, service_pb2.ModelStatistics], one: service_pb2.ModelStatistics) -> None:
    known = sums.get((one.name, one.version))
    if known is None:
        sums[one.name, one.version] = known = service_pb2.ModelStatistics()
        known.CopyFrom(one)
    else:
        add_statistics(known, one)
