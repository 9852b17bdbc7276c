"""What a server says of itself at one moment; counters as they are, since they were last reset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Key = tuple[str, str]
"""A model's name and version."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's counters.

    Attributes:
        bounds: upper bounds in seconds, ascending, the last one infinite.
        counts: of what is at most each bound, so never falling.
    """

    bounds: Sequence[float]
    counts: Sequence[float]


@dataclass(frozen=True)
class ModelSample:
    """One version of a model.

    Attributes:
        state: as the index says, such as "READY"; empty where the server has none.
        reason: why it is not ready.
        is_counted: there are counters; False for what is not loaded, and where the server tells none.
        requests: answered.
        failures: that were not.
        inferences: a request with n items counts n; those answered by the cache are not among them.
        executions: batches that were run.
        request_ns, queue_ns: sums over the requests that were answered, nanoseconds.
        pending: requests that wait now; None where nobody says.
        durations: of requests; None where the server has no such histogram.
        quantiles: of requests' times in the last minute, by the share below, 0 to 1: seconds; empty where the server has none.
    """

    state: str = ""
    reason: str = ""
    is_counted: bool = True
    requests: int = 0
    failures: int = 0
    inferences: int = 0
    executions: int = 0
    request_ns: int = 0
    queue_ns: int = 0
    pending: float | None = None
    durations: Buckets | None = None
    quantiles: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the metrics page has it; None for what it has not.

    Attributes:
        utilisation: 0 to 1.
    """

    utilisation: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_watts: float | None = None


@dataclass(frozen=True)
class Machine:
    """The server's machine as the metrics page has it; None for what it has not.

    Attributes:
        cpu_utilisation: of all cores together, 0 to 1.
        gpus: by uuid.
    """

    cpu_utilisation: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    gpus: Mapping[str, Gpu] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """Everything at one moment.

    Attributes:
        moment: of `time.monotonic()`.
        models: by name and version; a name without a version is not loaded.
        notes: what could not be read, and why: a sentence each.
    """

    moment: float
    models: Mapping[Key, ModelSample]
    machine: Machine = field(default_factory=Machine)
    notes: Sequence[str] = ()
