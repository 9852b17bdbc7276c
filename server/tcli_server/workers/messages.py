"""What the supervisor and its workers tell each other; both are processes of this server and of one user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.observability.log import LogOptions
from tcli_server.tracing.tracer import Changes


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model in every worker: one of them asks it of the supervisor. As `Engine.load`."""

    name: str
    config: str | ModelConfig | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unload:
    """Likewise for unloading. As `Engine.unload`."""

    name: str
    dependents: bool = False


Operation = Load | Unload


@dataclass(frozen=True, slots=True)
class CarryOut:
    """The supervisor has a worker load or unload.

    Attributes:
        number: of the operation, the same in all workers.
    """

    number: int
    operation: Operation


@dataclass(frozen=True, slots=True)
class Opened:
    """A worker has opened what a `CarryOut` loads, and asks whether to publish it: not before all have.

    Attributes:
        number: of the `CarryOut`.
    """

    number: int


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """Log so in every worker: one of them asks it of the supervisor, which tells all. As `Engine.change_log`."""

    options: LogOptions


@dataclass(frozen=True, slots=True)
class ChangeTrace:
    """Trace so in every worker: one of them asks it of the supervisor, which tells all. As `Engine.change_trace`."""

    model: str
    changes: Changes


@dataclass(frozen=True, slots=True)
class AskFailure:
    """The supervisor asks for the `NotLoaded` of a model that a worker could not load; None if it has an earlier copy."""

    name: str


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """A model could not be loaded, which a worker that did not try shows like the one that did.

    Attributes:
        reason: of the model as a whole.
        versions: the reason of each version, where versions were reached.
    """

    name: str
    reason: str
    versions: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A worker has loaded its models and asks whether to open its ports.

    Attributes:
        index: a RepositoryIndexResponse.
        placeholders: models whose weights are only a stand-in.
    """

    index: bytes
    placeholders: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker accepts connections."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker cannot start, and ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker has counted.

    Attributes:
        number: later reports of a worker have larger ones.
        statistics: a ModelStatisticsResponse of all its models.
        families: its metrics, without the machine's.
    """

    number: int
    statistics: bytes
    families: Sequence[Metric]


@dataclass(frozen=True, slots=True)
class AskReport:
    """The supervisor asks for a `Report`."""


@dataclass(frozen=True, slots=True)
class AskStatistics:
    """A worker asks for the ModelStatisticsResponse of all workers together.

    Attributes:
        own: what it has counted itself.
    """

    own: Report


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Be ready no more, and go on."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Accept nothing more, answer what was asked, report, and end; others go on serving the ports."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Stop:
    """The server ends: answer what is in flight, refuse the rest, and end."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer to `Retire` and `Stop`.

    Attributes:
        answered: whether everything was answered in time.
    """

    answered: bool
    last: Report
