"""The in-process server: loads and unloads models, and runs inferences. The protocols are thin layers over it.

with Engine("model_repository") as engine:
    response = engine.infer("add_sub", {"INPUT0": a, "INPUT1": b})
    print(response.outputs["OUTPUT0"])

An engine has threads, so it does not survive a fork: in the child every call fails. Make one there, or spawn; and leave
such a child by `os._exit`, as multiprocessing does.
"""

import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.caching.cache import ResponseCache
from tcli_server.calls import InferOptions, all_true, call, call_async, request_for, settled, stream, stream_async
from tcli_server.errors import NotFoundError, ServerError, UnavailableError
from tcli_server.forks import watch_forks
from tcli_server.hardware.allocator import reuse_freed_blocks
from tcli_server.hardware.memory import usable_memory
from tcli_server.models import description
from tcli_server.models.config_json import parse_config_json
from tcli_server.models.control import ModelControl
from tcli_server.models.demand import Demand
from tcli_server.models.draft import check_settings
from tcli_server.models.model import Model
from tcli_server.models.on_demand import OnDemand
from tcli_server.models.polling import Polling
from tcli_server.observability.custom_metrics import CustomMetrics
from tcli_server.observability.log import LOG, LogOptions, change_log
from tcli_server.options import EngineOptions
from tcli_server.pending import PendingBytes
from tcli_server.request import FailureReason, InferenceRequest, InferenceResponse, Parameter
from tcli_server.scheduling import Later
from tcli_server.tracing.tracer import Changes, Tracer
from tcli_server.version import EXTENSIONS, VERSION

LONGEST_WAIT_SECS = 100 * 365 * 86400
"""Python's waits take no more than some centuries; who asks for longer waits so long."""

_PENDING_SHARE = 4
_EXITING = "Server exiting"
_NOT_READY = "Server not ready"
_STOPPED = "Server is stopping, scheduler for model has stopped accepting new inference requests"


class Engine:
    """All models of one or more repositories, in this process.

    Raises:
        NotFoundError: a repository folder does not exist.
        InvalidArgumentError: options that contradict each other.
    """

    def __init__(self, *model_repositories: str | os.PathLike[str], options: EngineOptions | None = None) -> None:
        self.options = options or EngineOptions()
        reuse_freed_blocks()
        self.repositories = [Path(path) for path in model_repositories]
        # Not Path.is_dir, which raises where a folder on the way cannot be searched.
        missing = [path for path in self.repositories if not os.path.isdir(path)]  # noqa: PTH112
        if missing and self.options.exit_on_error:
            raise NotFoundError(f"model repository '{missing[0]}' is not a folder that exists")
        self.options.check()
        check_settings(self.options.backend_config)
        size = self.options.response_cache_byte_size
        self.response_cache = ResponseCache(size) if size else None
        self.custom_metrics = CustomMetrics()
        self.tracer = Tracer(self.options.trace)
        self.rate_limiter = self.options.rate_limiter()
        self._control = ModelControl(
            [] if missing else self.repositories,
            self.options.auto_complete_config,
            self.options.backend_config,
            self.options.model_load_thread_count,
            self.response_cache,
            self.options.model_config_name,
            self,
            self.rate_limiter,
            self.options.model_namespacing,
            self.options.model_load_retry_count,
            self.options.metrics,
        )
        self._registry = self._control.registry
        limit = self.options.max_pending_bytes
        self._pending = PendingBytes(usable_memory() // _PENDING_SHARE if limit is None else limit)
        self._polling: Polling | None = None
        self.demand = Demand(self._registry)
        if self.options.model_control_mode == "on-demand":
            chosen, poll_secs = self.options.on_demand, self.options.repository_poll_secs
            self.demand = OnDemand(self._control, self._submit, chosen, poll_secs, self._pending, self.response_cache)
        self._started = False
        self._withdrawn = False
        self._orphaned = ""
        self._refusal = _NOT_READY if missing else ""
        watch_forks(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    # --- lifecycle ---

    def start(self) -> None:
        """Load what the control mode says, once; a second call does nothing.

        A model that fails does not raise: `repository_index` tells the reason.

        Raises:
            NotFoundError: a repository cannot be read; not without `exit_on_error`, as for one that does not exist.
        """
        if self._started:
            return
        options = self.options
        names: Sequence[str] = ()
        try:
            if options.model_control_mode == "poll" and options.repository_poll_secs:
                self._polling = Polling(self._control, options.repository_poll_secs)
            if not options.takes_control or options.load_models == ("*",):
                names = self._control.names_on_disk()
            else:
                wanted = (*self.demand.start(), *options.load_models)
                names = list(dict.fromkeys(one for name in wanted for one in self._control.identifiers(name)))
        except ServerError as error:
            if options.exit_on_error:
                raise
            LOG.error("%s", error)
            self._refusal = _NOT_READY
        self._control.load_all(names)
        if self._polling is not None and not self._refusal:
            self._polling.start()
        self._started = True

    def begin_shutdown(self) -> None:
        """Refuse what comes from now on; what was accepted goes on."""
        if self._orphaned:  # the models are the parent's, and so may be the locks
            return
        self._refusal = _EXITING
        if self._polling is not None:
            self._polling.stop()
        self.demand.stop()
        self._control.begin_shutdown()

    def withdraw(self) -> None:
        """Be ready no more, so that load balancers send what comes to others; all that comes is answered as before."""
        self._withdrawn = True

    def shutdown(self, timeout: float = 30) -> bool:
        """Refuse new requests, answer those that are queued, free all models.

        Args:
            timeout: seconds to wait for requests in flight.

        Returns:
            True if everything was answered in time.
        """
        if self._orphaned:
            return True
        self.begin_shutdown()
        drained = self._control.shut_down(time.monotonic() + min(timeout, LONGEST_WAIT_SECS))
        if self.response_cache is not None:
            self.response_cache.close()
        self.tracer.close()
        return drained

    def live(self) -> bool:
        """Whether the server runs."""
        return self._started and not self._refusal

    @property
    def stopping(self) -> bool:
        """Whether `shutdown` was called."""
        return self._refusal == _EXITING

    @property
    def orphaned(self) -> bool:
        """Whether this is the copy in a forked child, which has no threads and refuses everything."""
        return bool(self._orphaned)

    @property
    def max_pending_bytes(self) -> int:
        """Bytes of input that requests which are not answered yet may hold together."""
        return self._pending.limit

    @property
    def loading(self) -> bool:
        """Whether a load or an unload is under way; one may hang in foreign code, which `shutdown` does not wait for."""
        return self._control.operations.busy

    def ready(self) -> bool:
        """Whether every model that has to be is ready (or just `live`, without strict readiness), and `withdraw` not called."""
        return self.live() and not self._withdrawn and (not self.options.strict_readiness or self.demand.ready())

    # --- model control ---

    def load(
        self, name: str, config: str | ModelConfig | None = None, files: Mapping[str, bytes | memoryview] | None = None
    ) -> None:
        """Load a model, or load it anew if its folder changed; the old copy answers until the new one is ready.

        Args:
            name: the model's folder in a repository.
            config: replaces the configuration file; JSON text or a message.
            files: contents by path (`1/model.onnx`), which replace the folder; need `config`.

        Raises:
            InvalidArgumentError: the name is not acceptable, or the model cannot be loaded.
            InternalError: no such folder, or its configuration or the files are wrong.
            UnavailableError: configurations or files are not taken here, or the engine is shutting down.
        """
        self.begin_load(name, config, files).result()

    def begin_load(
        self, name: str, config: str | ModelConfig | None = None, files: Mapping[str, bytes | memoryview] | None = None
    ) -> "Future[None]":
        """Like `load`, without waiting: the future has the outcome."""
        return self._begin_load(name, config, files or {})

    def _begin_load(
        self,
        name: str,
        config: str | ModelConfig | None,
        files: Mapping[str, bytes | memoryview],
        agree: Callable[[], None] | None = None,
    ) -> "Future[None]":
        """Args: agree: as `ModelControl.load`."""
        future: Future[None]
        try:
            self._check_orphaned()
            self.options.check_pushed(config, files)
            override = parse_config_json(name, config) if isinstance(config, str) else config
            self.demand.turn_on(name)
        except ServerError as error:
            future = Future()
            future.set_exception(error)
        else:
            future = self._control.load_named(name, override, files, agree)
        future.add_done_callback(lambda done: self._log_load(name, done))
        return future

    def _check_orphaned(self) -> None:
        if self._orphaned:
            raise UnavailableError(self._orphaned)

    def check_model_control(self) -> None:
        """Whether clients and models may load and unload models here.

        Raises:
            UnavailableError: they may not.
        """
        if not self.options.takes_control:
            raise UnavailableError(
                "explicit model load / unload is not allowed if polling is enabled: start the server with "
                "--model-control-mode=explicit"
            )

    def _log_load(self, name: str, done: "Future[None]") -> None:
        error = done.exception()
        if error is not None:
            LOG.warning("%s", error)
        else:
            for one in self._control.identifiers(name):
                LOG.info("loaded '%s' version %s", one, ", ".join(str(m.version) for m in self._registry.ready(one)))

    def unload(self, name: str, unload_dependents: bool = False) -> None:
        """Take a model out of service; queued requests are still answered. An unknown name is no error, as in Triton.

        Args:
            unload_dependents: of an ensemble, also unload the models that were loaded only for it.
        """
        self.begin_unload(name, unload_dependents).result()

    def begin_unload(self, name: str, unload_dependents: bool = False) -> "Future[None]":
        """Like `unload`, without waiting: the future has the outcome."""
        if self._orphaned:
            refused: Future[None] = Future()
            refused.set_exception(UnavailableError(self._orphaned))
            return refused
        self.demand.turn_off(name)
        future = self._control.unload_named(name, unload_dependents)
        future.add_done_callback(lambda done: None if done.exception() else LOG.info("unloaded '%s'", name))
        return future

    # --- what is there ---

    def model(self, name: str, version: str = "") -> Model:
        """The loaded model that answers for this name; on demand, waits until it is loaded.

        Raises:
            NotFoundError, UnavailableError, InvalidArgumentError: as `Registry.find`.
        """
        while (model := self.check_model(name, version)) is None:
            self.demand.await_load(name, version)
        return model

    def check_model(self, name: str, version: str = "") -> Model | None:
        """The model; None for one that has to be loaded first, by requests, which are taken. Raises as `model`."""
        try:
            return self._registry.find(name, version)
        except (NotFoundError, UnavailableError) as error:
            self.demand.check(name, version, error)
            return None

    def models(self) -> Sequence[Model]:
        """Every model version that is ready."""
        return self._registry.models()

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether it answers requests, and says so itself where it has a word on it.

        One that is loaded on demand does, unless it must not be loaded now.

        Raises:
            InvalidArgumentError: the version is not a number.
        """
        return self.begin_model_ready(name, version).result()

    def begin_model_ready(self, name: str, version: str = "") -> "Future[bool]":
        """Like `model_ready`, without waiting; done at once where the model has no word on it. Raises as `model_ready`."""
        try:
            model = self.check_model(name, version)
        except (NotFoundError, UnavailableError):
            return settled(False)
        if self._refusal or (model is not None and not model.fit):
            return settled(False)
        checks = model.check_ready() if model is not None else []
        return all_true(checks) if checks else settled(True)

    def server_metadata(self) -> service_pb2.ServerMetadataResponse:
        """Name, version and extensions."""
        return service_pb2.ServerMetadataResponse(name=self.options.server_id, version=VERSION, extensions=EXTENSIONS)

    def model_metadata(self, name: str, version: str = "") -> service_pb2.ModelMetadataResponse:
        """Inputs and outputs as clients see them: batch dimension as -1, without `reshape`. Raises as `model`."""
        return self.metadata_of(self.model(name, version), version)

    def metadata_of(self, model: Model, version: str = "") -> service_pb2.ModelMetadataResponse:
        """Like `model_metadata`, of a model that is there."""
        return description.metadata(model, [model] if version else self._registry.ready(model.identifier))

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """The complete configuration that the model runs with; read only. Raises as `model`."""
        return self.config_of(self.model(name, version))

    def config_of(self, model: Model) -> ModelConfig:
        """Like `model_config`, of a model that is there."""
        return self._registry.config(model)

    def change_log(self, options: LogOptions) -> "Future[None]":
        """Log as the options say from now on, but to where it is logged already; a process has one log."""
        change_log(options)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def change_trace(self, model: str, changes: Changes) -> "Future[None]":
        """As `Tracer.change`. Raises as that."""
        self.tracer.change(model, changes)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def statistics(self, name: str = "", version: str = "") -> service_pb2.ModelStatisticsResponse:
        """Statistics of one model (all its ready versions unless one is named) or of all.

        Raises:
            InvalidArgumentError: the model or version is not ready, or the version is not a number.
        """
        counted = self.demand.counted(name)
        no_one = service_pb2.ModelStatisticsResponse()
        return (
            description.statistics(counted, self._registry.identifier(name), version) if counted is not None else no_one
        )

    def repository_index(self, ready: bool = False) -> service_pb2.RepositoryIndexResponse:
        """Every model on disk or loaded, with each version's state and the reason if it is not READY."""
        return description.index(self._control.index(), ready)

    # --- inference ---

    def submit(self, request: InferenceRequest, later: Later | None = None) -> None:
        """Take over a request: it ends, once, and its `reply` hears of it; raises nothing.

        Args:
            later: puts off the waking of a worker, for callers that have more requests at hand.
        """
        request.arrival_ns = time.monotonic_ns()
        self._submit(request, later)

    def _submit(self, request: InferenceRequest, later: Later | None = None) -> None:
        pending, tried = self._pending, None
        try:
            while True:
                if self._refusal:
                    raise UnavailableError(self._refusal)
                try:
                    model = self._registry.find(request.model_name, request.model_version)
                except (NotFoundError, UnavailableError) as error:
                    if self.demand.take(request, error):
                        return
                    tried = None
                    continue
                if model is tried:
                    request.observer = model.statistics
                    if self.demand.take(request, UnavailableError(_STOPPED)):
                        return
                    tried = None
                    continue
                if not pending.charge(request):
                    request.observer = model.statistics
                    request.fail(pending.refusal(request), FailureReason.REJECTED)
                    return
                if request.ended:  # its end, before there was anything to release, would be the last to look
                    pending.release(request)
                    return
                if model.submit(request, later):
                    return
                tried = model  # stopped, but a reload may have put a new copy into the table after our look
        except ServerError as error:
            request.fail(error)
        except Exception as error:
            LOG.exception("a request to '%s' could not be submitted", request.model_name)
            request.fail(description.defect(error))

    def abandon_sequence(
        self, model_name: str, model_version: str, sequence_id: int | str, connection: object = None
    ) -> None:
        """Give the slot of a sequence to others, as nobody will go on with it; what is not there is no error.

        Args:
            connection: leave the sequence alone if its last request came on another one.
        """
        with contextlib.suppress(ServerError):
            self._registry.find(model_name, model_version).abandon(sequence_id, connection)

    def infer(
        self,
        model_name: str,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        model_version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Parameter] | None = None,
        priority: int = 0,
        timeout_us: int = 0,
        sequence_id: int | str = 0,
        sequence_start: bool = False,
        sequence_end: bool = False,
    ) -> InferenceResponse:
        """Run one inference and wait for it.

        Args:
            inputs: name -> array in the shape that the metadata shows; its dtype must be the input's.
            outputs: names wanted, empty for all.
            priority: 1 is the highest, 0 the model's default level.
            timeout_us: microseconds that it may wait in the queue, where the model lets requests say so.
            sequence_id: the sequence that it belongs to, a number from 1 to 2^64 - 1 or a text; for stateful models.
            sequence_start: it is the sequence's first request; likewise `sequence_end`.

        Raises:
            ServerError: the request is refused or the model failed on it.
        """
        options = InferOptions(
            outputs=outputs,
            model_version=model_version,
            request_id=request_id,
            parameters=parameters,
            priority=priority,
            timeout_us=timeout_us,
            sequence_id=sequence_id,
            sequence_start=sequence_start,
            sequence_end=sequence_end,
        )
        return call(self.submit, request_for(model_name, inputs, options))

    async def infer_async(
        self, model_name: str, inputs: Mapping[str, np.ndarray], **options: Unpack[InferOptions]
    ) -> InferenceResponse:
        """Like `infer`, for asyncio. Cancelling it cancels the request."""
        return await call_async(self.submit, request_for(model_name, inputs, options))

    def infer_stream(
        self, model_name: str, inputs: Mapping[str, np.ndarray], **options: Unpack[InferOptions]
    ) -> Generator[InferenceResponse, None, None]:
        """Run one inference of a model that gives any number of responses, or one, and give them as they come.

        It begins when the first response is asked for. The model waits for a caller who takes them slowly; whoever leaves
        the loop early cancels the request.

        Args:
            inputs, options: as for `infer`.

        Raises:
            ServerError: the request is refused, or the model failed on it; the responses before came.
        """
        return stream(self.submit, request_for(model_name, inputs, options))

    def infer_stream_async(
        self, model_name: str, inputs: Mapping[str, np.ndarray], **options: Unpack[InferOptions]
    ) -> AsyncGenerator[InferenceResponse, None]:
        """Like `infer_stream`, for asyncio; a loop that is left early is best closed by `contextlib.aclosing`."""
        return stream_async(self.submit, request_for(model_name, inputs, options))

    def forked(self) -> None:
        """As `Forked.forked`: refuse everything from now on."""
        self._refusal = self._orphaned = (
            "this engine was made before a fork and has no threads here; fix: make one in the child process"
        )
