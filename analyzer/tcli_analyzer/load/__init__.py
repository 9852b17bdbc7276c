"""Sends requests and notes when each was due, was sent and was answered.

Closed loop: so many are always outstanding, as of clients that wait for an answer before they ask again. Open loop: they come by a
schedule, whatever was answered, as of users who know nothing of each other; only that shows what a rate does to latency.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from tcli_analyzer.arrivals import Distribution
from tcli_server.errors import ServerError

DEFAULT_IDLE_SECONDS = 1.0
"""Triton's `max_sequence_idle_microseconds` where a configuration says nothing."""

_RESTING_SHARE = 0.25
"""Of that time, how long a sequence rests on average before its next request."""


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
class Sequences:
    """How requests belong to sequences.

    Attributes:
        length: of a sequence in requests; None for that of the recorded sequences, 20 where there are none.
        variation: lengths differ from `length` by at most this share, evenly; recorded ones do not.
        seed: of the lengths.
        first_id: correlation ids count from here ...
        last_id: ... to here, and begin again.
        prefix: makes texts of them: "user-" gives "user-1"; empty for numbers.
        pool: of an open loop: about so many are open at once; more where all of them wait for an answer.
        idle_seconds: after so long without a request the server forgets a sequence.
    """

    length: int | None = None
    variation: float = 0.2
    seed: int = 0
    first_id: int = 1
    last_id: int = 2**32 - 1
    prefix: str = ""
    pool: int = 4
    idle_seconds: float = DEFAULT_IDLE_SECONDS

    @property
    def ids(self) -> int:
        """How many there are: no more sequences can be open at once."""
        return self.last_id - self.first_id + 1

    def at_rate(self, rate: float) -> "Sequences":
        """With a pool for so many requests per second: with few, fewer sequences are open, so that none rests too long."""
        return replace(self, pool=max(1, min(self.pool, int(rate * _RESTING_SHARE * self.idle_seconds))))


@dataclass(frozen=True, slots=True)
class ClosedLoad:
    """So many requests are always outstanding.

    Attributes:
        sequences: each caller plays sequences, one after the other; None for a model without state.
    """

    concurrency: int
    sequences: Sequences | None = None

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
        sequences: that the requests belong to in turn; None for a model without state.
    """

    rate: float
    distribution: Distribution = Distribution.POISSON
    seed: int = 0
    gaps_seconds: tuple[float, ...] = field(default=(), repr=False)
    loop: bool = True
    sequences: Sequences | None = None

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
        drain_seconds: for how long the last answer is waited for.
        outstanding: requests that were sent and not answered.
    """

    replies: list[Reply]
    error: ServerError | None
    overloaded: bool
    drain_seconds: float

    @property
    def is_finished(self) -> bool: ...

    @property
    def outstanding(self) -> int: ...
