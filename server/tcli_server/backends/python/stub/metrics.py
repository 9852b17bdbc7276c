"""`MetricFamily` and `Metric`: a model's own metrics, which the server keeps and shows at its metrics port.

What a worker does with them is asked of the server, which knows the rules; only types are checked here. An answer means
that the next scrape shows it.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import threading
from enum import Enum
from typing import Any

from .errors import TritonModelException
from .link import Link, server


class MetricKind(Enum):
    """What a family's metrics count."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class _Handle:
    """A family as this process holds it.

    Attributes:
        link: to the server that keeps it.
        number: that server's number of it.
    """

    __slots__ = ("closed", "link", "number")

    def __init__(self, link: Link, number: int) -> None:
        self.link = link
        self.number = number
        self.closed = False


class MetricFamily:
    """Metrics of one name. Families of the same name and kind, in whatever model, are the same; the first description stays.

    Metrics last as long as their family's object.

    Raises:
        TypeError: an argument is of another type.
        TritonModelException: the name cannot be one, or belongs to another kind.
    """

    COUNTER = MetricKind.COUNTER
    GAUGE = MetricKind.GAUGE
    HISTOGRAM = MetricKind.HISTOGRAM

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        for argument, value in (("name", name), ("description", description)):
            if not isinstance(value, str):
                raise TypeError(f"{argument}: expected a str, found {type(value).__name__}")
        if not isinstance(kind, MetricKind):
            raise TypeError(f"kind: expected MetricFamily.COUNTER, GAUGE or HISTOGRAM, found {kind!r}")
        body = {"name": name, "description": description, "metric_kind": kind.value}
        self._handle = _Handle(server(), _ask("metric_family", body, "Error when creating MetricFamily")["family"])

    def Metric(  # noqa: N802  (Triton's name)
        self, labels: dict[str, str] | None = None, buckets: list[float] | None = None
    ) -> Metric:
        """The family's metric of those labels; the same one if there is one already.

        Args:
            buckets: upper bounds in ascending order, of a histogram and needed there; there is one for the rest besides.

        Raises:
            TritonModelException: labels or buckets are not such.
        """
        if labels is not None and not isinstance(labels, dict):
            raise TritonModelException("Failed to create metric. Labels must be a dictionary.")
        if buckets is not None and not isinstance(buckets, list):
            raise TritonModelException("Failed to create metric. Buckets must be a list.")
        bounds = None if buckets is None else [_number("buckets", bound) for bound in buckets]
        for pair in (labels or {}).items():
            if not all(isinstance(text, str) for text in pair):
                raise TritonModelException(
                    f"Failed to create metric. Labels must have a str for a str, found {pair[0]!r}: {pair[1]!r}"
                )
        body = {"family": self._handle.number, "labels": labels or {}, "buckets": bounds}
        return Metric(self._handle, _ask("metric", body, "Failed to create metric")["metric"])

    def __del__(self) -> None:
        handle: _Handle | None = getattr(self, "_handle", None)
        if handle is not None:
            handle.closed = True
            _closed.append(handle)
            _wake.put(None)


class Metric:
    """One time series; made by `MetricFamily.Metric`.

    Raises:
        TritonModelException: the kind of its family does not do that, or the family's object is gone.
    """

    def __init__(self, family: _Handle, number: int) -> None:
        self._family = family
        self._number = number

    def increment(self, value: float) -> None:
        """Add to a counter or a gauge; to a counter nothing negative."""
        self._do("increment", value, "Failed to increment metric value")

    def set(self, value: float) -> None:
        """Set a gauge."""
        self._do("set", value, "Failed to set metric value")

    def observe(self, value: float) -> None:
        """Add an observation to a histogram."""
        self._do("observe", value, "Failed to observe metric value")

    def value(self) -> float:
        """Of a counter or a gauge."""
        failure = "Failed to get metric value"
        self._check_family(failure)
        value: float = _ask("metric_value", {"metric": self._number}, failure)["value"]
        return value

    def _do(self, operation: str, value: float, failure: str) -> None:
        value = _number("value", value)
        self._check_family(failure)
        _ask("metric_update", {"metric": self._number, "operation": operation, "value": value}, failure)

    def _check_family(self, failure: str) -> None:
        if self._family.closed:
            raise TritonModelException(
                f"{failure}: Invalid metric operation as the corresponding 'MetricFamily' has been deleted. The 'MetricFamily' "
                "object should be deleted AFTER its corresponding 'Metric' objects have been deleted."
            )


def _number(name: str, value: Any) -> float:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"{name}: expected a number, found {value!r}")
    return float(value)


# Python may find out that a family's object is gone while this very thread talks to the server, so that is said later: by a
# thread of its own, or before the next question.
_closed: collections.deque[_Handle] = collections.deque()
_wake: queue.SimpleQueue[None] = queue.SimpleQueue()
_telling = False
_lock = threading.Lock()


def _ask(kind: str, body: dict[str, Any], failure: str) -> dict[str, Any]:
    try:
        _tell_closed()
        return server().ask(kind, body)
    except TritonModelException as error:
        raise TritonModelException(f"{failure}: {error}") from None


def _tell_closed() -> None:
    global _telling
    with _lock:
        if not _telling:
            threading.Thread(target=_tell_later, name="metric families", daemon=True).start()
            _telling = True
        while _closed:
            handle = _closed.popleft()
            handle.link.tell("metric_family_closed", {"family": handle.number})


def _tell_later() -> None:
    while True:
        _wake.get()
        with contextlib.suppress(TritonModelException):  # the server is gone, and with it all metrics
            _tell_closed()
