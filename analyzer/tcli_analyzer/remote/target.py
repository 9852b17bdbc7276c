"""A model of a server that is asked over HTTP or gRPC."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.remote.described import config_of_metadata
from tcli_analyzer.remote.failures import of_client
from tcli_analyzer.remote.http_request import HttpRequests
from tcli_analyzer.remote.http_sender import HttpSender
from tcli_analyzer.remote.loop_thread import LoopThread
from tcli_analyzer.remote.prepared import Prepared
from tcli_analyzer.remote.sender import Sender
from tcli_analyzer.remote.wire import Wire
from tcli_analyzer.target import Counters, OnReply, SequenceMark
from tcli_client import AnswerError, ClientError, connect, parse_address
from tcli_client.address import Protocol
from tcli_server.errors import ServerError

BINARY_EXTENSION = "binary_tensor_data"


class RemoteTarget:
    """A model of any V2 server; as `Target`.

        with RemoteTarget("localhost:8000", "densenet_onnx") as target:
            config = target.configuration()
            with ClosedLoop(target, random_requests(config, ...), concurrency=8):
                ...

    Requests travel in a thread of its own, many at once. Each gets its answer or an error within `timeout`, whatever becomes of the server.

    Args:
        url, protocol: as `tcli_client.connect`.
        version: empty for the server's choice.
        timeout: seconds to wait for each answer.
        wire: how requests are written.

    Raises:
        UrlError: `url` is not an address.
    """

    def __init__(
        self,
        url: str,
        model: str,
        version: str = "",
        protocol: Protocol | None = None,
        timeout: float = 60.0,
        wire: Wire | None = None,
    ) -> None:
        self.address = parse_address(url, protocol)
        self.model = model
        self.version = version
        self._timeout = timeout
        self._wire = wire or Wire()
        self._server = connect(str(self.address), timeout=timeout)
        self._counts = True
        self._told = False

    def __enter__(self) -> Self:
        """Start.

        Raises:
            ServerError: no server answers there.
        """
        try:
            with _explained():
                binary = BINARY_EXTENSION in self._server.metadata().extensions
        except ServerError:
            self._server.close()
            raise
        self._thread = LoopThread("load")
        self._sender = self._thread.wait_for(self._make_sender(binary))
        self._prepared = Prepared(self._sender.prepare)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.wait_for(self._sender.close())
        self._thread.close()
        self._server.close()

    @property
    def has_statistics(self) -> bool:
        """Whether `counters` tells anything: False after a server without Triton's statistics extension was asked."""
        return self._counts

    @property
    def responses(self) -> int:
        """With streaming, how many responses came so far: a decoupled model may answer a request with many, or none."""
        return int(getattr(self._sender, "responses", 0))

    @property
    def cpu_ns(self) -> int:
        """Processor time of the thread that sends and receives."""
        return self._thread.cpu_ns

    def configuration(self) -> ModelConfig:
        """The complete configuration of the model as it is loaded now.

        Of a server without Triton's configuration extension it is made from the model's metadata: no batching, shapes as they are there.

        Raises:
            ServerError: the server does not have the model, or does not answer.
        """
        with _explained():
            try:
                return self._server.model_config(self.model, self.version)
            except AnswerError:
                return config_of_metadata(self._server.model_metadata(self.model, self.version))

    def submit(self, inputs: Mapping[str, np.ndarray], reply: OnReply, sequence: SequenceMark | None = None) -> None:
        """As `Target.submit`; `reply` is called in the thread of the connections.

        What is sent is made once for each object `inputs`, and for each request of a sequence.
        """
        request = self._prepared.of(inputs) if sequence is None else self._sender.prepare(inputs, sequence)
        self._thread.do(self._sender.send, request, reply)

    def counters(self) -> Counters:
        """As `Target.counters`: zeros of a server without Triton's statistics extension; see `has_statistics`."""
        if not self._counts:
            return Counters()
        with _explained():
            try:
                models = self._server.statistics(self.model, self.version)
            except AnswerError:
                if self._told:  # it has some, and fails to tell them now
                    raise
                self._counts = False
                return Counters()
        self._told = True
        return sum((Counters.of(model) for model in models), Counters())

    async def _make_sender(self, binary: bool) -> Sender:
        if self.address.protocol == "grpc":
            # grpcio is slow to import and HTTP does not need it
            from tcli_analyzer.remote.grpc_sender import GrpcSender
            from tcli_analyzer.remote.grpc_stream_sender import GrpcStreamSender

            kind = GrpcStreamSender if self._wire.streaming else GrpcSender
            return kind(self.address, self.model, self.version, self._timeout, self._wire)
        requests = HttpRequests(self.address, self.model, self.version, binary, self._wire)
        return HttpSender(self.address, requests, self._thread.loop, self._timeout)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ClientError as problem:
        raise of_client(problem) from problem
