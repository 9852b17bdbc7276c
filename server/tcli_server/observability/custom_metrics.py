"""Metrics that models make themselves: families by name, shared by all who ask for the name, and shown with the server's own.

A family, and each of its series, is there as long as somebody holds it:

    family = metrics.open("words", "Words seen", MetricKind.COUNTER)
    series = metrics.open_series(family, {"language": "en"}, None)
    series.increment(3)
    metrics.close_series(series)
    metrics.close(family)
"""

import bisect
import itertools
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from tcli_server.errors import AlreadyExistsError, InvalidArgumentError, UnsupportedError
from tcli_server.observability.log import LOG

Labels = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_SERVERS_OWN = (
    *("nv_inference_", "nv_cache_", "nv_cpu_", "nv_gpu_", "nv_energy_", "nv_model_", "nv_pinned_", "nv_rate_limiter_"),
    "tcli_",
)


class MetricKind(Enum):
    """What a family's series count, by Prometheus' names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Series:
    """One time series.

    Attributes:
        bounds: a histogram's upper bounds, ascending, without +Inf.
        holders: how many hold it.
    """

    def __init__(self, family: "Family", labels: Labels, bounds: tuple[float, ...]) -> None:
        self.family = family
        self.labels = labels
        self.bounds = bounds
        self.holders = 0
        self._lock = family.lock
        self._value = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def increment(self, amount: float) -> None:
        """Add to it.

        Raises:
            InvalidArgumentError: a counter cannot go down.
            UnsupportedError: it is a histogram.
        """
        self._check("increment", MetricKind.COUNTER, MetricKind.GAUGE)
        if self.family.kind is MetricKind.COUNTER and not amount >= 0:
            raise InvalidArgumentError(
                f"counter '{self.family.name}' can only be incremented monotonically by non-negative values, found {amount}. Use "
                "a gauge for what also goes down"
            )
        with self._lock:
            self._value += amount

    def set(self, value: float) -> None:
        """Set it.

        Raises:
            UnsupportedError: it is no gauge.
        """
        self._check("set", MetricKind.GAUGE)
        with self._lock:
            self._value = value

    def observe(self, value: float) -> None:
        """Count a value in its bucket.

        Raises:
            UnsupportedError: it is no histogram.
        """
        self._check("observe", MetricKind.HISTOGRAM)
        with self._lock:
            self._value += value
            self._counts[bisect.bisect_left(self.bounds, value)] += 1

    def value(self) -> float:
        """What it stands at.

        Raises:
            UnsupportedError: it is a histogram.
        """
        self._check("value", MetricKind.COUNTER, MetricKind.GAUGE)
        return self._value

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """What a scrape shows of it: names, labels and values."""
        name = self.family.name
        if self.family.kind is not MetricKind.HISTOGRAM:
            yield name, self.labels, self._value
            return
        with self._lock:
            total, counts = self._value, list(itertools.accumulate(self._counts))
        yield f"{name}_count", self.labels, counts[-1]
        yield f"{name}_sum", self.labels, total
        for bound, count in zip((*map(bound_text, self.bounds), "+Inf"), counts, strict=True):
            yield f"{name}_bucket", (*self.labels, ("le", bound)), count

    def _check(self, operation: str, *kinds: MetricKind) -> None:
        kind = self.family.kind
        if kind not in kinds:
            able = " or ".join(f"a {other.value}" for other in kinds)
            raise UnsupportedError(f"{kind.value} '{self.family.name}' does not support {operation}, which {able} does")


class Family:
    """Series of one name.

    Attributes:
        holders: how many hold it.
    """

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        self.name = name
        self.description = description
        self.kind = kind
        self.holders = 0
        self.series: dict[Labels, Series] = {}
        self.lock = threading.Lock()


class CustomMetrics:
    """All families that models made; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._families: dict[str, Family] = {}

    def open(self, name: str, description: str, kind: MetricKind, of_server: bool = False) -> Family:
        """Hold a family; one that is there keeps its description.

        Args:
            of_server: it is one of the server's own, whose names are no model's.

        Raises:
            InvalidArgumentError: the name is none of Prometheus', or one of the server's.
            AlreadyExistsError: a family of another kind has the name, or shows some of its samples under it.
        """
        _check_name(name)
        if not of_server and name.startswith(_SERVERS_OWN):
            raise InvalidArgumentError(f"metric family '{name}': names with this beginning are the server's own")
        with self._lock:
            family = self._families.get(name)
            if family is None:
                self._check_samples(name, kind)
                family = self._families[name] = Family(name, description, kind)
            elif family.kind is not kind:
                raise AlreadyExistsError(
                    f"metric family '{name}' is there already and is a {family.kind.value}, not a {kind.value}"
                )
            family.holders += 1
            return family

    def close(self, family: Family) -> None:
        """Hold it no longer."""
        with self._lock:
            family.holders -= 1
            if not family.holders:
                del self._families[family.name]

    def open_series(self, family: Family, labels: Mapping[str, str], buckets: Sequence[float] | None) -> Series:
        """Hold a series of a family that the caller holds; the same for the same labels, in whatever order.

        Args:
            buckets: upper bounds of a histogram; a series that is there keeps its own.

        Raises:
            InvalidArgumentError: buckets are missing, not ascending or not expected; a label's name is none of Prometheus'.
        """
        bounds = _checked_bounds(family, buckets)
        _check_labels(family, labels)
        key = tuple(sorted(labels.items()))
        with self._lock:
            series = family.series.get(key)
            if series is None:
                series = family.series[key] = Series(family, key, bounds)
            elif series.bounds != bounds:
                LOG.warning(
                    "histogram '%s' keeps the buckets %s that it has, others were asked for: %s",
                    family.name,
                    list(series.bounds),
                    list(bounds),
                )
            series.holders += 1
            return series

    def close_series(self, series: Series) -> None:
        """Hold it no longer."""
        with self._lock:
            series.holders -= 1
            if not series.holders:
                del series.family.series[series.labels]

    def shown(self) -> list[tuple[Family, list[Series]]]:
        """The families that have series, with these, at this moment."""
        with self._lock:
            return [(family, list(family.series.values())) for family in self._families.values() if family.series]

    def _check_samples(self, name: str, kind: MetricKind) -> None:
        wanted = _sample_names(name, kind)
        for other in self._families.values():
            shared = wanted & _sample_names(other.name, other.kind)
            if shared:
                raise AlreadyExistsError(
                    f"metric family '{name}' would show '{shared.pop()}', and so does {other.kind.value} '{other.name}'"
                )


def _sample_names(name: str, kind: MetricKind) -> set[str]:
    if kind is MetricKind.HISTOGRAM:
        return {name, f"{name}_count", f"{name}_sum", f"{name}_bucket"}
    return {name}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"metric family '{name}': expected a name of letters, digits, '_' and ':', the first no digit"
        )


def _check_labels(family: Family, labels: Mapping[str, str]) -> None:
    for label in labels:
        if not _LABEL.fullmatch(label) or (label == "le" and family.kind is MetricKind.HISTOGRAM):
            raise InvalidArgumentError(
                f"metric family '{family.name}': label '{label}': expected letters, digits and '_', the first no digit, not "
                "beginning with '__', and for a histogram not 'le'"
            )


def _checked_bounds(family: Family, buckets: Sequence[float] | None) -> tuple[float, ...]:
    if family.kind is not MetricKind.HISTOGRAM:
        if buckets is not None:
            raise InvalidArgumentError(f"Unexpected buckets found: '{family.name}' is a {family.kind.value}")
        return ()
    if buckets is None:
        raise InvalidArgumentError(f"Missing required buckets: '{family.name}' is a histogram")
    if any(not low < high for low, high in itertools.pairwise((float("-inf"), *buckets, float("inf")))):
        raise InvalidArgumentError(
            f"histogram '{family.name}': expected finite buckets in strictly ascending order, found {list(buckets)}"
        )
    return tuple(buckets)


def bound_text(bound: float) -> str:
    """A bucket's bound, or a quantile, as a label's value."""
    return repr(bound).removesuffix(".0")
