"""What one worker asks of the server's custom metrics: numbers on the wire, families and series here.

| message | body | answer |
| --- | --- | --- |
| `metric_family` | name, description, metric_kind | family: a number |
| `metric` | family, labels, buckets or null | metric: a number |
| `metric_update` | metric, operation (increment, set, observe), value | |
| `metric_value` | metric | value |
| `metric_family_closed` | family | none: it is told |

Nothing here waits, so a worker's messages may be handled as they come, in their order.
"""

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.custom_metrics import CustomMetrics, Family, MetricKind, Series

Body = Mapping[str, Any]

_UPDATES: dict[str, Callable[[Series, float], None]] = {
    "increment": Series.increment,
    "set": Series.set,
    "observe": Series.observe,
}


class _Held:
    """A family as one object of a worker holds it, and the series that were asked of that."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.series: dict[Series, int] = {}


class WorkerMetrics:
    """The metrics that one worker holds. They are let go when it says so, or when it is gone, however it went."""

    KINDS = ("metric_family", "metric", "metric_update", "metric_value", "metric_family_closed")

    def __init__(self, metrics: CustomMetrics) -> None:
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._families: dict[int, _Held] = {}
        self._series: dict[int, Series] = {}

    def answer(self, kind: str, body: Body) -> dict[str, Any]:
        """Do what one of `KINDS` asks.

        Raises:
            ServerError: it breaks a rule of metrics.
        """
        with self._lock:
            if kind == "metric_family":
                return self._open(body)
            if kind == "metric":
                return self._open_series(body)
            if kind == "metric_family_closed":
                held = self._families.pop(int(body["family"]), None)
                if held is not None:
                    self._let_go(held)
                return {}
            series = self._series.get(int(body["metric"]))
            if series is None:
                raise InvalidArgumentError(
                    "Invalid metric operation as the corresponding 'MetricFamily' has been deleted"
                )
            if kind == "metric_value":
                return {"value": series.value()}
            _UPDATES[body["operation"]](series, float(body["value"]))
            return {}

    def close(self) -> None:
        """Let go of everything: the worker is gone."""
        with self._lock:
            for held in self._families.values():
                self._let_go(held)
            self._families.clear()

    def _open(self, body: Body) -> dict[str, Any]:
        family = self._metrics.open(body["name"], body["description"], MetricKind(body["metric_kind"]))
        number = next(self._numbers)
        self._families[number] = _Held(family)
        return {"family": number}

    def _open_series(self, body: Body) -> dict[str, Any]:
        held = self._families.get(int(body["family"]))
        if held is None:
            raise InvalidArgumentError("the 'MetricFamily' of this metric has been deleted")
        series = self._metrics.open_series(held.family, body["labels"], body["buckets"])
        number = held.series.get(series)
        if number is None:
            number = held.series[series] = next(self._numbers)
            self._series[number] = series
        else:  # once for each family's object is enough, however often a model asks for the same labels
            self._metrics.close_series(series)
        return {"metric": number}

    def _let_go(self, held: _Held) -> None:
        for series, number in held.series.items():
            del self._series[number]
            self._metrics.close_series(series)
        self._metrics.close(held.family)
