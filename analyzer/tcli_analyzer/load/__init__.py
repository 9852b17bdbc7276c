"""Sends requests and notes when each was due, was sent and was answered.

Closed loop: so many are always outstanding, as of clients that wait for an answer before they ask again. Open loop: they come by a
schedule, whatever was answered, as of users who know nothing of each other; only that shows what a rate does to latency.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tcli_analyzer.arrivals import Distribution
from tcli_server.errors import ServerError


class Reply(NamedTuple):
    """One answered request, in ns of `perf_counter_ns`.

    Attributes:
        at_ns: when the answer was there.
        latency_ns: since the request was due; in a closed loop, since it was sent.
        service_ns: since it was sent. The difference is the load generator's own delay.
    """

    at_ns: int
    latency_ns: int
    service_ns: int


@dataclass(frozen=True, slots=True)
class ClosedLoad:
    """So many requests are always outstanding."""

    concurrency: int

    @property
    def label(self) -> str:
        """For people and file names: "concurrency 8"."""
        return f"concurrency {self.concurrency}"


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """Requests come at a rate.

    Attributes:
        rate: requests per second.
        gaps_seconds: recorded gaps, stretched to the rate, instead of a distribution.
        loop: recorded gaps begin again from the first when they are over; else the load ends with them.
    """

    rate: float
    distribution: Distribution = Distribution.POISSON
    seed: int = 0
    gaps_seconds: tuple[float, ...] = field(default=(), repr=False)
    loop: bool = True

    @property
    def label(self) -> str:
        """For people and file names: "40 requests/s"."""
        return f"{self.rate:.4g} requests/s"


Load = ClosedLoad | OpenLoad


class RunningLoad(Protocol):
    """A load from `__enter__` until `__exit__`, which waits for the last answer.

    Attributes:
        replies: in the order in which they came; only grows.
        error: the first refused or failed request, which ends the load; None while all is well.
        overloaded: requests came faster than they were answered, so that the load was ended.
        is_finished: everything was sent and answered.
    """

    replies: list[Reply]
    error: ServerError | None
    overloaded: bool

    @property
    def is_finished(self) -> bool: ...
