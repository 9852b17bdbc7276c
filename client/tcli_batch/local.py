"""The models of a repository in this process, asked like a server: no ports, and the same answers."""

import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from typing import Self

from tritonclient.grpc import model_config_pb2, service_pb2

from tcli_client import Answer, AnswerError, Inference, InvalidRequestError, NotFoundError, UnavailableError
from tcli_client.address import Address
from tcli_client.errors import UnsupportedError
from tcli_client.tensors import Array
from tcli_client.transport import Output, Transport
from tcli_server.engine import Engine
from tcli_server.errors import ErrorKind, ServerError
from tcli_server.options import EngineOptions
from tcli_server.protocols.classification import classified
from tcli_server.request import InferenceRequest, InferenceResponse

_ERRORS: dict[ErrorKind, type[AnswerError]] = {
    ErrorKind.INVALID_ARG: InvalidRequestError,
    ErrorKind.NOT_FOUND: NotFoundError,
    ErrorKind.UNAVAILABLE: UnavailableError,
    ErrorKind.UNSUPPORTED: UnsupportedError,
}


class LocalTransport(Transport):
    """An engine of our own, behind the interface of every server.

        from tcli_batch import LocalTransport
        from tcli_client import ImageClassifier

        with LocalTransport("model_repository", models=["efficientnet_lite0"]) as server:
            print(next(ImageClassifier(server, "efficientnet_lite0").classify(["cup.jpg"])))

    Args:
        repository: folder of models.
        models: those to load; all where none is named.

    Raises:
        ServerError: the repository cannot be read.
    """

    def __init__(self, repository: str | os.PathLike[str], models: Sequence[str] = ()) -> None:
        self.address = Address("local", "", 0, path=os.fspath(repository))
        options = EngineOptions(model_control_mode="explicit", load_models=tuple(models) or ("*",))
        self.engine = Engine(repository, options=options)
        self.engine.start()

    def live(self) -> bool:
        return self.engine.live()

    def ready(self) -> bool:
        return self.engine.ready()

    def model_ready(self, model: str, version: str = "") -> bool:
        return self.engine.model_ready(model, version)

    def metadata(self) -> service_pb2.ServerMetadataResponse:
        return self.engine.server_metadata()

    def model_metadata(self, model: str, version: str = "") -> service_pb2.ModelMetadataResponse:
        with _translated():
            return self.engine.model_metadata(model, version)

    def model_config(self, model: str, version: str = "") -> model_config_pb2.ModelConfig:
        with _translated():
            return self.engine.model_config(model, version)

    def index(self, ready: bool = False) -> list[service_pb2.RepositoryIndexResponse.ModelIndex]:
        return list(self.engine.repository_index(ready).models)

    def statistics(self, model: str = "", version: str = "") -> list[service_pb2.ModelStatistics]:
        with _translated():
            return list(self.engine.statistics(model, version).model_stats)

    def load(self, model: str, config: str = "") -> None:
        with _translated():
            self.engine.load(model, config or None)

    def unload(self, model: str, unload_dependents: bool = False) -> None:
        with _translated():
            self.engine.unload(model, unload_dependents)

    def infer(self, inference: Inference) -> Answer:
        return self.begin(inference).result()

    def begin(self, inference: Inference) -> "Future[Answer]":
        """As `infer`, without waiting for the answer; its errors are the future's."""
        answer: Future[Answer] = Future()
        wanted = {output.name: output for output in inference.outputs}

        def reply(response: InferenceResponse) -> None:
            if response.error is not None:
                answer.set_exception(_as_answer_error(response.error))
                return
            try:
                answer.set_result(_answer(response, wanted))
            except ServerError as error:  # an output that cannot be ranked
                answer.set_exception(_as_answer_error(error))

        self.engine.submit(
            InferenceRequest(
                inference.model,
                dict(inference.inputs),
                tuple(wanted),
                inference.version,
                inference.id,
                reply=reply,
            )
        )
        return answer

    def stream(self, inferences: Iterator[Inference]) -> Generator[Answer | AnswerError, None, None]:
        for inference in inferences:
            try:
                yield self.infer(inference)
            except AnswerError as error:
                yield error

    def close(self) -> None:
        self.engine.shutdown()


class _translated:  # noqa: N801  used as a function
    """The server's errors as the client's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ServerError):
            raise _as_answer_error(error) from None


def _as_answer_error(error: ServerError) -> AnswerError:
    return _ERRORS.get(error.kind, AnswerError)(str(error), error.kind.name)


def _answer(response: InferenceResponse, wanted: dict[str, Output]) -> Answer:
    outputs: dict[str, Array] = {}
    for name, array in response.outputs.items():
        k = wanted[name].classes if name in wanted else 0
        outputs[name] = classified(array, k, name, response.spec) if k else array
    return Answer(response.model_name, response.model_version, response.id, outputs)
