"""Every RPC of the inference service but inference: metadata, configuration, statistics, the repository and settings."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from google.protobuf import message_factory
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError, UnavailableError, UnsupportedError
from tcli_server.protocols.grpc.admission import SHUTTING_DOWN, Admission
from tcli_server.protocols.grpc.errors import as_server_error
from tcli_server.protocols.grpc.infer import Inference
from tcli_server.protocols.grpc.log_settings import log_settings
from tcli_server.protocols.grpc.rpc import Message, Rpcs, Unary, UnaryCall
from tcli_server.protocols.grpc.shared_memory import SharedMemoryRpcs
from tcli_server.protocols.grpc.trace_settings import trace_settings
from tcli_server.protocols.grpc.wire import first_tensor, split_load
from tcli_server.protocols.shared_memory import SystemSharedMemory
from tcli_server.protocols.texts import short

if TYPE_CHECKING:
    from tcli_server.models.model import Model

Method = Callable[[Any], Any]
"""Answers one request message with another, or with a future of it; may raise ServerError."""

Run = Callable[[Message], Any]
"""The same for a request's bytes."""

_QUICK_BYTES = 1 << 14
"""Bytes of a request that are parsed within about a millisecond."""

_LARGEST = 1 << 20
"""Bytes of a request that is not for inference, without the files of a load."""

_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]


class Service:
    """Translates between the V2 messages and an engine.

    Args:
        pool: for what grows with the request or with the number of models, which must not hold up everybody else.
    """

    def __init__(
        self, engine: Engine, pool: ThreadPoolExecutor, admission: Admission, shared: SystemSharedMemory
    ) -> None:
        self._engine = engine
        self._pool = pool
        self._admission = admission
        self._shared = SharedMemoryRpcs(shared)
        self._operations: set[asyncio.Future[Any]] = set()
        self._answering: set[asyncio.Task[None]] = set()

    def rpcs(self, inference: Inference) -> Rpcs:
        """Everything that can be called."""
        quick: dict[str, Method] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda _: self._engine.server_metadata(),
            **self._shared.methods(),
        }
        telling: dict[str, Method] = {
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": lambda request: self._engine.statistics(request.name, request.version),
            "RepositoryIndex": self._repository_index,
        }
        changing: dict[str, Method] = {
            "RepositoryModelUnload": self._unload,
            "LogSettings": lambda request: log_settings(self._engine, request),
            "TraceSetting": lambda request: trace_settings(self._engine, request),
        }
        unary = {name: self._unary(name, _reading(name, method), quick=True) for name, method in quick.items()}
        unary |= {name: self._unary(name, _reading(name, method), tells=True) for name, method in telling.items()}
        unary |= {name: self._unary(name, _reading(name, method)) for name, method in changing.items()}
        unary["RepositoryModelLoad"] = self._unary("RepositoryModelLoad", self._load)
        unary["ModelInfer"] = inference.model_infer
        paths = {f"/{_SERVICE.full_name}/{name}": begin for name, begin in unary.items()}
        streaming = {f"/{_SERVICE.full_name}/ModelStreamInfer": inference.model_stream_infer}
        return Rpcs(paths, streaming, inference.headers.read, first_tensor)

    def close(self) -> None:
        """Wait for no load or unload any longer: one may hang, and the engine does not wait for them either."""
        for operation in self._operations:
            operation.cancel()

    def _unary(self, name: str, run: Run, quick: bool = False, tells: bool = False) -> Unary:
        """An RPC that is answered in a thread; in the loop if it is `quick` and the request small.

        Args:
            tells: it changes nothing, so it is not done for nobody.
        """
        admission = self._admission

        def answer_to(data: Message) -> Any:
            answer = run(data)
            return answer if isinstance(answer, Future) else answer.SerializeToString()

        async def answer(data: Message, result: Any, call: UnaryCall) -> None:
            try:
                if result is None:
                    result = await self._in_thread(answer_to, data, tells)
                    del data
                    if isinstance(result, Future):
                        result = await self._operation(result)
                else:
                    result = await asyncio.wrap_future(result)
                call.respond(result if isinstance(result, bytes) else result.SerializeToString())
            except Exception as error:
                call.fail(as_server_error(error, name))

        def begin(data: Message, call: UnaryCall) -> None:
            result = None
            if quick and len(data) <= _QUICK_BYTES:
                try:
                    result = answer_to(data)
                except Exception as error:
                    call.fail(as_server_error(error, name))
                    return
                if isinstance(result, bytes):
                    call.respond(result)
                    return
            admission.enter()
            task = asyncio.get_running_loop().create_task(answer(data, result, call))
            self._answering.add(task)
            task.add_done_callback(self._answered)
            call.on_gone = task.cancel

        return begin

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._answering.discard(task)
        self._admission.leave()

    async def _in_thread(self, run: Run, data: Message, tells: bool) -> Any:
        """What `run` makes of a message, which counts as held until that, and what it began, is over.

        That is so whether or not the client waits: what was asked is done all the same, unless it only `tells` something, and has
        not begun.

        Raises:
            UnavailableError: too much is held.
        """
        loop, admission, size = asyncio.get_running_loop(), self._admission, len(data)
        waiting = [data]  # where the client left, the pool may come to this much later

        def let_go(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
                loop.call_soon_threadsafe(admission.let_go, size)

        def ran(done: "Future[Any]") -> None:
            waiting.clear()
            failed = done.cancelled() or done.exception() is not None
            if not failed and isinstance(done.result(), Future):
                done.result().add_done_callback(let_go)
            else:
                let_go(done)

        admission.hold(size)
        work = self._pool.submit(lambda: run(waiting.pop()))
        work.add_done_callback(ran)
        answer = asyncio.wrap_future(work)
        return await (answer if tells else asyncio.shield(answer))

    async def _operation(self, result: "Future[Any]") -> Any:
        """The message that ends a load or unload; they go on if the client leaves or the server stops."""
        operation = asyncio.wrap_future(result)
        self._operations.add(operation)
        try:
            if self._admission.closed:
                operation.cancel()
            return await asyncio.shield(operation)
        except asyncio.CancelledError:
            if self._admission.closed:
                raise UnavailableError(SHUTTING_DOWN) from None
            raise
        finally:
            self._operations.discard(operation)

    def _server_live(self, _: Any) -> Any:
        self._check_running()
        return pb.ServerLiveResponse(live=self._engine.live())

    def _server_ready(self, _: Any) -> Any:
        self._check_running()
        return pb.ServerReadyResponse(ready=self._engine.ready())

    def _check_running(self) -> None:
        if self._engine.stopping or self._admission.closed:
            raise UnavailableError("Server exiting")

    def _model_ready(self, request: pb.ModelReadyRequest) -> Any:
        answer = self._engine.begin_model_ready(request.name, request.version)
        if answer.done():
            return self._readiness(answer.result())
        told: Future[Any] = Future()

        def tell(done: "Future[bool]") -> None:
            if told.set_running_or_notify_cancel():  # else the client is gone
                told.set_result(self._readiness(done.result()))

        answer.add_done_callback(tell)
        return told

    def _readiness(self, ready: bool) -> Any:
        return pb.ModelReadyResponse(ready=ready and not self._admission.closed)

    def _model_config(self, request: pb.ModelConfigRequest) -> Any:
        def tell(model: "Model") -> pb.ModelConfigResponse:
            return pb.ModelConfigResponse(config=self._engine.config_of(model))

        return self._engine.demand.when_loaded(request.name, request.version, tell)

    def _model_metadata(self, request: pb.ModelMetadataRequest) -> Any:
        name, version = request.name, request.version
        return self._engine.demand.when_loaded(name, version, lambda model: self._engine.metadata_of(model, version))

    # --- repository ---

    def _repository_index(self, request: pb.RepositoryIndexRequest) -> Any:
        _check_repository_name(request)
        return self._engine.repository_index(request.ready)

    def _load(self, data: Message) -> Any:
        request, large = _read_load(data)
        _check_repository_name(request)
        config: str | None = None
        files: dict[str, bytes | memoryview] = {}
        for key, content in large.items():
            files[_file_path(key)] = content
        for key, parameter in request.parameters.items():
            if key == "config":
                config = _parameter(parameter, "string_param", f"load parameter '{key}'")
            else:
                files[_file_path(key)] = _parameter(parameter, "bytes_param", f"load parameter '{short(key)}'")
        self._check_explicit()
        return _after(self._engine.begin_load(request.model_name, config, files), pb.RepositoryModelLoadResponse())

    def _unload(self, request: pb.RepositoryModelUnloadRequest) -> Any:
        _check_repository_name(request)
        dependents = False
        for key, parameter in request.parameters.items():
            if key == "unload_dependents":
                dependents = _parameter(parameter, "bool_param", f"'{key}' parameter")
        self._check_explicit()
        done = self._engine.begin_unload(request.model_name, dependents)
        return _after(done, pb.RepositoryModelUnloadResponse())

    def _check_explicit(self) -> None:
        if not self._engine.options.takes_control:
            raise UnavailableError(
                "explicit model load / unload is not allowed if polling is enabled: start the server with "
                "--model-control-mode=explicit"
            )


def _reading(name: str, method: Method) -> Run:
    """Reads the RPC's request for `method`.

    Raises:
        InvalidArgumentError: the request is larger than anybody needs.
        InternalError: it is no message.
    """
    request_class: Any = message_factory.GetMessageClass(_SERVICE.methods_by_name[name].input_type)

    def run(data: Message) -> Any:
        if len(data) > _LARGEST:
            raise InvalidArgumentError(f"the {name} request has {len(data)} bytes, expected at most {_LARGEST}")
        try:
            message = request_class.FromString(data)
        except DecodeError as error:
            raise InternalError(f"Unable to parse request: {error}") from None
        return method(message)

    return run


def _after(done: "Future[None]", message: Any) -> "Future[Any]":
    """A future of a message, once an operation has succeeded."""
    answered: Future[Any] = Future()

    def settle(finished: "Future[None]") -> None:
        error = finished.exception()
        if not answered.set_running_or_notify_cancel():  # the client is gone; the operation goes on
            return
        if error is not None:
            answered.set_exception(error)
        else:
            answered.set_result(message)

    done.add_done_callback(settle)
    return answered


def _read_load(data: Message) -> tuple[pb.RepositoryModelLoadRequest, dict[str, memoryview]]:
    """A load request without its large files, and those apart, by parameter name."""
    try:
        rest, large = split_load(data)
        if len(rest) > _LARGEST:
            raise InvalidArgumentError(
                f"the load request has {len(rest)} bytes besides its large files, expected at most {_LARGEST}"
            )
        return pb.RepositoryModelLoadRequest.FromString(rest), large
    except (ValueError, DecodeError) as error:
        raise InternalError(f"Unable to parse request: {error}") from None


def _file_path(key: str) -> str:
    if not key.startswith("file:"):
        raise InvalidArgumentError(f"unrecognized load parameter '{short(key)}', expected 'config' or 'file:<path>'")
    return key.removeprefix("file:")


def _check_repository_name(request: Any) -> None:
    if request.repository_name:
        raise UnsupportedError("'repository_name' specification is not supported")


def _parameter(parameter: Any, expected: str, said: str) -> Any:
    if parameter.WhichOneof("parameter_choice") != expected:
        raise InvalidArgumentError(f"invalid value type for {said}, expected {expected}.")
    return getattr(parameter, expected)
