"""How a server is asked, whatever the wire: the interface that the HTTP and the gRPC transport share."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tritonclient.grpc import model_config_pb2, service_pb2

from tcli_client.address import Address, Protocol, parse_address
from tcli_client.errors import AnswerError
from tcli_client.tensors import Array


@dataclass(frozen=True)
class Output:
    """An output that is wanted.

    Attributes:
        classes: 0 for the tensor itself; k > 0 for Triton's classification extension: the k highest values as BYTES
            elements "value:index" or "value:index:label", shape [batch, k] or, for a model that does not batch, [k].
    """

    name: str
    classes: int = 0


@dataclass(frozen=True, eq=False)
class Inference:
    """One inference to ask for.

    Attributes:
        inputs: name -> array in the shape that the server expects, with the batch dimension where the model batches.
        outputs: empty for all of the model's.
        version: empty for the server's choice, the highest version that is ready.
    """

    model: str
    inputs: Mapping[str, Array]
    outputs: Sequence[Output] = ()
    version: str = ""
    id: str = ""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the server answered; BYTES outputs are object arrays of `bytes`."""

    model: str
    version: str
    id: str = ""
    outputs: dict[str, Array] = field(default_factory=dict)


class Transport(ABC):
    """Speaks the V2 protocol to one server; safe to use from several threads at once.

    `connect` chooses the transport by the URL:

        from tcli_client import Inference, connect

        with connect("grpc://localhost:8001") as server:
            print(server.metadata().name, [model.name for model in server.index(ready=True)])
            ones = np.ones((1, 16), np.float32)
            answer = server.infer(Inference("add_sub", {"INPUT0": ones, "INPUT1": ones}))
            print(answer.outputs["OUTPUT0"])

    Every method raises:
        ServerUnreachableError, WrongProtocolError, RequestTimeoutError: there is no answer.
        AnswerError: the server answered with an error, for example NotFoundError for an unknown model.
    """

    address: Address

    @abstractmethod
    def live(self) -> bool:
        """Whether the server runs."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the server is ready for inference."""

    @abstractmethod
    def model_ready(self, model: str, version: str = "") -> bool:
        """Whether the model is ready; False also where the server does not know it."""

    @abstractmethod
    def metadata(self) -> service_pb2.ServerMetadataResponse:
        """The server's name, version and extensions."""

    @abstractmethod
    def model_metadata(self, model: str, version: str = "") -> service_pb2.ModelMetadataResponse:
        """The model's versions, inputs and outputs; shapes with the batch dimension."""

    @abstractmethod
    def model_config(self, model: str, version: str = "") -> model_config_pb2.ModelConfig:
        """The model's configuration (Triton's model_configuration extension)."""

    @abstractmethod
    def index(self, ready: bool = False) -> list[service_pb2.RepositoryIndexResponse.ModelIndex]:
        """The models in the server's repositories, all or only what is ready (Triton's model_repository extension)."""

    @abstractmethod
    def statistics(self, model: str = "", version: str = "") -> list[service_pb2.ModelStatistics]:
        """Counters of one model, or of all that are ready (Triton's statistics extension)."""

    @abstractmethod
    def load(self, model: str, config: str = "") -> None:
        """Load a model, or load it anew, and wait for it (Triton's model_repository extension).

        Args:
            config: the configuration as JSON text, in place of the one in the model's folder.
        """

    @abstractmethod
    def unload(self, model: str, unload_dependents: bool = False) -> None:
        """Take a model out of service.

        Args:
            unload_dependents: of an ensemble, also the models that were loaded only for it.
        """

    @abstractmethod
    def infer(self, inference: Inference) -> Answer:
        """Run one inference and wait for its answer."""

    @abstractmethod
    def stream(self, inferences: Iterator[Inference]) -> Generator[Answer | AnswerError, None, None]:
        """Send inferences one after the other on one stream; their answers, or refusals, come in the same order.

        Nothing is read ahead: the next inference is taken as soon as the network takes it, so whoever gives them decides
        how many are under way. Take an answer only when one is to come: that is what the time-out of each is counted from.

        Args:
            inferences: taken in a thread of the transport's; must not raise.

        Raises:
            OptionError: the protocol has no such streams; HTTP has none.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back the connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect(url: str = "localhost", protocol: Protocol | None = None, timeout: float = 60) -> Transport:
    """The transport to a server; nothing is sent yet.

    Args:
        url: see `parse_address`.
        timeout: seconds to wait for each answer.

    Raises:
        UrlError: `url` is not an address.
        CredentialsError: a file that the environment names for TLS or for a token cannot be used.
    """
    address = parse_address(url, protocol)
    if address.protocol == "grpc":
        from tcli_client.grpc import GrpcTransport  # grpcio is slow to import and HTTP does not need it

        return GrpcTransport(address, timeout)
    from tcli_client.http import HttpTransport

    return HttpTransport(address, timeout)
