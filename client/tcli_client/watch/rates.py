"""What follows from two samples: rates, means and percentiles of the time between them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tcli_client.watch.sample import Buckets, Key, Machine, ModelSample, Sample

_COUNTERS = ("requests", "failures", "inferences", "executions", "request_ns", "queue_ns")


class PercentilesOf(StrEnum):
    """Where percentiles come from."""

    INTERVAL = "histogram"
    """The requests of the interval; exact to a bucket of the histogram."""
    MINUTE = "summary"
    """The requests of the last minute, by the server's summary."""
    NOTHING = "none"
    """The server tells no percentiles: only the mean is known."""


@dataclass(frozen=True)
class ModelActivity:
    """One version of a model between two samples. None: nothing happened of which it could be told, or the server does not tell.

    Attributes:
        state, reason: as in `ModelSample`.
        requests_per_second: answered.
        errors_per_second: requests that failed.
        inferences_per_second: those that were run.
        pending: requests that wait now.
        queue_ms: mean time in the queue of the requests that were answered.
        batch: inferences of an execution, on average.
        mean_ms: of the requests that were answered.
        p50_ms, p99_ms: infinite where more than the histogram's last bound.
        percentiles_of: where they come from.
    """

    name: str
    version: str
    state: str = ""
    reason: str = ""
    requests_per_second: float = 0.0
    errors_per_second: float = 0.0
    inferences_per_second: float = 0.0
    pending: float | None = None
    queue_ms: float | None = None
    batch: float | None = None
    mean_ms: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    percentiles_of: PercentilesOf = PercentilesOf.NOTHING

    @property
    def latency_ms(self) -> float | None:
        """The p99, or the mean where there is none."""
        return self.p99_ms if self.p99_ms is not None else self.mean_ms


@dataclass(frozen=True)
class Activity:
    """A server between two samples.

    Attributes:
        seconds: between them.
        models: in the order of names and versions.
        restarted: some counter fell, as when a server starts anew or a model is loaded again.
        notes: as in `Sample`.
    """

    seconds: float
    models: Sequence[ModelActivity]
    machine: Machine = field(default_factory=Machine)
    restarted: bool = False
    notes: Sequence[str] = ()


def activity(before: Sample, after: Sample) -> Activity:
    """What happened from one to the other.

    Counters that fell were reset: what they show now is what happened since, so no rate is negative.
    """
    seconds = max(after.moment - before.moment, 1e-9)
    resets = {key for key, model in after.models.items() if key in before.models and _fell(before.models[key], model)}
    models = [
        _model(key, before.models.get(key) if key not in resets else ModelSample(), model, seconds)
        for key, model in sorted(after.models.items(), key=lambda item: _order(item[0]))
    ]
    return Activity(seconds, models, after.machine, bool(resets), after.notes)


def _order(key: Key) -> tuple[str, int, str]:
    name, version = key
    return name, len(version), version


def _fell(before: ModelSample, after: ModelSample) -> bool:
    return after.is_counted and any(getattr(after, name) < getattr(before, name) for name in _COUNTERS)


def _model(key: Key, before: ModelSample | None, after: ModelSample, seconds: float) -> ModelActivity:
    """Of a model that had no counters before nothing is known but what it is now."""
    first = before if before is not None and before.is_counted else after
    passed: Mapping[str, int] = {name: getattr(after, name) - getattr(first, name) for name in _COUNTERS}
    requests = passed["requests"]
    p50, p99, source = _percentiles(first, after)
    return ModelActivity(
        name=key[0],
        version=key[1],
        state=after.state,
        reason=after.reason,
        requests_per_second=requests / seconds,
        errors_per_second=passed["failures"] / seconds,
        inferences_per_second=passed["inferences"] / seconds,
        pending=after.pending,
        queue_ms=passed["queue_ns"] / requests / 1e6 if requests else None,
        batch=passed["inferences"] / passed["executions"] if passed["executions"] else None,
        mean_ms=passed["request_ns"] / requests / 1e6 if requests else None,
        p50_ms=p50,
        p99_ms=p99,
        percentiles_of=source,
    )


def _percentiles(before: ModelSample, after: ModelSample) -> tuple[float | None, float | None, PercentilesOf]:
    if after.durations is not None:
        counts = _since(before.durations, after.durations)
        p50, p99 = (quantile_ms(after.durations.bounds, counts, share) for share in (0.5, 0.99))
        return p50, p99, PercentilesOf.INTERVAL
    if after.quantiles:
        p50, p99 = (1e3 * after.quantiles[share] if share in after.quantiles else None for share in (0.5, 0.99))
        return p50, p99, PercentilesOf.MINUTE
    return None, None, PercentilesOf.NOTHING


def _since(before: Buckets | None, after: Buckets) -> Sequence[float]:
    """Counts of what came after; all of them where the histogram is another one, or began again."""
    if before is None or list(before.bounds) != list(after.bounds):
        return after.counts
    passed = [now - then for now, then in zip(after.counts, before.counts, strict=True)]
    return passed if min(passed, default=0) >= 0 else after.counts


def quantile_ms(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """A quantile of a histogram, as Prometheus' `histogram_quantile` has it: in proportion between the bounds of a bucket.

    Args:
        bounds: in seconds, ascending.
        counts: of what is at most each bound.

    Returns:
        Infinite where it is above the last finite bound; None where nothing was counted.
    """
    total = counts[-1] if counts else 0
    if total <= 0:
        return None
    rank = share * total
    below = itertools.chain([(0.0, 0.0)], zip(bounds, counts, strict=True))
    for (low, under), (high, reached) in zip(below, zip(bounds, counts, strict=True), strict=False):
        if reached >= rank and reached > under:
            if math.isinf(high):
                return math.inf
            return 1e3 * (low + (high - low) * (rank - under) / (reached - under))
    return None
