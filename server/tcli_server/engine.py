"""The in-process server: loads and unloads models, and runs inferences. The protocols are thin layers over it.

with Engine("model_repository") as engine:
    response = engine.infer("add_sub", {"INPUT0": a, "INPUT1": b})
    print(response.outputs["OUTPUT0"])
"""

import asyncio
import os
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import InvalidArgumentError, NotFoundError, ServerError
from tcli_server.models.control import ModelControl
from tcli_server.models.loading import BackendConfig, parse_config_json
from tcli_server.models.model import Model
from tcli_server.models.registry import State, parse_version
from tcli_server.observability.log import LOG
from tcli_server.request import InferenceRequest, InferenceResponse, Parameter
from tcli_server.scheduling.batcher import SchedulerStoppedError
from tcli_server.version import VERSION

EXTENSIONS = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
"""The V2 extensions that this server speaks, by Triton's names."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine behaves; names and defaults are Triton's.

    Attributes:
        model_control_mode: `none` loads every model at the start, `explicit` those of `load_models`.
        load_models: models to load at the start in explicit mode; `("*",)` for all.
        auto_complete_config: fill what a configuration leaves out from the model file.
        backend_config: backend -> setting -> value, as `--backend-config` gives them.
        strict_readiness: not ready while a model that was asked for is not.
        model_load_thread_count: models that load at the same time.
        server_id: the name in the server metadata.
    """

    model_control_mode: Literal["none", "explicit"] = "none"
    load_models: tuple[str, ...] = ()
    auto_complete_config: bool = True
    backend_config: BackendConfig = field(default_factory=dict)
    strict_readiness: bool = True
    model_load_thread_count: int = 4
    server_id: str = "triton"


class Engine:
    """All models of one or more repositories, in this process.

    Raises:
        NotFoundError: a repository folder does not exist.
        InvalidArgumentError: `load_models` without explicit mode.
    """

    def __init__(self, *model_repositories: str | os.PathLike[str], options: EngineOptions | None = None) -> None:
        self.options = options or EngineOptions()
        self.repositories = [Path(path) for path in model_repositories]
        for path in self.repositories:
            if not path.is_dir():
                raise NotFoundError(f"model repository '{path}' is not a folder that exists")
        if self.options.load_models and self.options.model_control_mode != "explicit":
            raise InvalidArgumentError("--load-model needs --model-control-mode=explicit")
        self._control = ModelControl(self.repositories, self.options.auto_complete_config, self.options.backend_config)
        self._registry = self._control.registry
        self._started = False
        self._stopping = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    # --- lifecycle ---

    def start(self) -> None:
        """Load what the control mode says. A model that fails does not raise: `repository_index` tells the reason."""
        names: Sequence[str] = self._control.names_on_disk()
        if self.options.model_control_mode == "explicit" and self.options.load_models != ("*",):
            names = self.options.load_models
        with ThreadPoolExecutor(self.options.model_load_thread_count, "load") as pool:
            list(pool.map(self._control.load_or_record, names))
        self._started = True

    def shutdown(self, timeout: float = 30) -> bool:
        """Refuse new requests, answer those that are queued, free all models.

        Args:
            timeout: seconds to wait for requests in flight.

        Returns:
            True if everything was answered in time.
        """
        self._stopping = True
        deadline = time.monotonic() + timeout
        return self._control.unload_all(deadline)

    def live(self) -> bool:
        """Whether the server runs."""
        return self._started and not self._stopping

    @property
    def stopping(self) -> bool:
        """Whether `shutdown` was called."""
        return self._stopping

    def ready(self) -> bool:
        """Whether every model that was asked for is ready (or just `live`, without strict readiness)."""
        return self.live() and (not self.options.strict_readiness or self._control.all_ready())

    # --- model control ---

    def load(
        self, name: str, config: str | ModelConfig | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        """Load a model, or load it anew if its folder changed; the old copy answers until the new one is ready.

        Args:
            name: the model's folder in a repository.
            config: replaces the configuration file; JSON text or a message.
            files: contents by path (`1/model.onnx`), which replace the folder; need `config`.

        Raises:
            InvalidArgumentError: the name or the files are not acceptable, or the model cannot be loaded.
            InternalError: no such folder, or its configuration is wrong.
        """
        override = parse_config_json(name, config) if isinstance(config, str) else config
        try:
            self._control.load(name, override, files or {})
        except ServerError as error:
            LOG.warning("%s", error)
            raise
        LOG.info("loaded '%s' version %s", name, ", ".join(self._control.ready_versions(name)))

    def unload(self, name: str, unload_dependents: bool = False) -> None:
        """Take a model out of service; queued requests are still answered. An unknown name is no error, as in Triton.

        Args:
            unload_dependents: also unload the models that only this one uses (ensembles; none are supported yet).
        """
        del unload_dependents
        self._control.unload(name)
        LOG.info("unloaded '%s'", name)

    # --- what is there ---

    def model(self, name: str, version: str = "") -> Model:
        """The loaded model that answers for this name.

        Raises:
            NotFoundError, UnavailableError, InvalidArgumentError: as `Registry.find`.
        """
        return self._registry.find(name, version)

    def models(self) -> list[Model]:
        """Every model version that is ready."""
        return list(self._registry.models())

    def model_ready(self, name: str, version: str = "") -> bool:
        """True if it is ready; raises as `model` if it is not there."""
        self._registry.find(name, version)
        return True

    def server_metadata(self) -> service_pb2.ServerMetadataResponse:
        """Name, version and extensions."""
        return service_pb2.ServerMetadataResponse(name=self.options.server_id, version=VERSION, extensions=EXTENSIONS)

    def model_metadata(self, name: str, version: str = "") -> service_pb2.ModelMetadataResponse:
        """Inputs and outputs as clients see them: batch dimension as -1, without `reshape`. Raises as `model`."""
        model = self._registry.find(name, version)
        versions = [str(model.version)] if version else self._control.ready_versions(name)
        metadata = service_pb2.ModelMetadataResponse(
            name=model.name, versions=versions, platform=model.config.platform or model.config.backend
        )
        spec = model.spec
        for item in spec.inputs.values():
            metadata.inputs.add(name=item.name, datatype=item.datatype.name, shape=spec.full_dims(item))
        for item in spec.outputs.values():
            metadata.outputs.add(name=item.name, datatype=item.datatype.name, shape=spec.full_dims(item))
        return metadata

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """The complete configuration that the model runs with; read only. Raises as `model`."""
        return self._registry.find(name, version).config

    def statistics(self, name: str = "", version: str = "") -> service_pb2.ModelStatisticsResponse:
        """Statistics of one model (all its ready versions unless one is named) or of all.

        Raises:
            InvalidArgumentError: the model or version is not ready, or the version is not a number.
        """
        if not name:
            chosen = self.models()
        else:
            parse_version(version)
            known = [model for model in self.models() if model.name == name]
            if not known:
                raise InvalidArgumentError(f"requested model '{name}' is not available")
            chosen = [model for model in known if version in ("", str(model.version))]
            if not chosen:
                raise InvalidArgumentError(f"requested model version is not available for model '{name}'")
        return service_pb2.ModelStatisticsResponse(
            model_stats=[model.statistics.to_message(model.name, str(model.version)) for model in chosen]
        )

    def repository_index(self, ready: bool = False) -> service_pb2.RepositoryIndexResponse:
        """Every model on disk or loaded, with each version's state and the reason if it is not READY."""
        index = service_pb2.RepositoryIndexResponse()
        for name, version, state, reason in self._control.index():
            if not ready or state == State.READY:
                index.models.add(name=name, version=version, state=state, reason=reason)
        return index

    # --- inference ---

    def submit(self, request: InferenceRequest) -> None:
        """Queue a request; its `reply` is called once, from a worker thread, with the answer or the error.

        Raises:
            ServerError: the request is refused; `reply` is not called then.
        """
        model = self._registry.find(request.model_name, request.model_version)
        while True:
            try:
                model.submit(request)
            except SchedulerStoppedError:
                # A reload put a new copy into the table between our look and our call: that one takes the request.
                current = None if self._stopping else self._registry.find(request.model_name, request.model_version)
                if current is None or current is model:
                    model.reject(request)
                    raise
                model = current
            else:
                return

    def infer(
        self,
        model_name: str,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        model_version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Parameter] | None = None,
    ) -> InferenceResponse:
        """Run one inference and wait for it.

        Args:
            inputs: name -> array in the shape that the metadata shows; its dtype must be the input's.
            outputs: names wanted, empty for all.

        Raises:
            ServerError: the request is refused or the model failed on it.
        """
        answers: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
        self.submit(_request(model_name, inputs, outputs, model_version, request_id, parameters, answers.put))
        return _unwrap(answers.get())

    async def infer_async(
        self,
        model_name: str,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: Sequence[str] = (),
        model_version: str = "",
        request_id: str = "",
        parameters: Mapping[str, Parameter] | None = None,
    ) -> InferenceResponse:
        """Like `infer`, for asyncio."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[InferenceResponse] = loop.create_future()

        def resolve(response: InferenceResponse) -> None:
            if not answer.done():  # the caller may have given up
                answer.set_result(response)

        def reply(response: InferenceResponse) -> None:
            loop.call_soon_threadsafe(resolve, response)

        self.submit(_request(model_name, inputs, outputs, model_version, request_id, parameters, reply))
        return _unwrap(await answer)


def _request(
    model_name: str,
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    model_version: str,
    request_id: str,
    parameters: Mapping[str, Parameter] | None,
    reply: Callable[[InferenceResponse], None],
) -> InferenceRequest:
    arrays = {name: np.asarray(array) for name, array in inputs.items()}
    return InferenceRequest(
        model_name, arrays, tuple(outputs), model_version, request_id, dict(parameters or {}), reply
    )


def _unwrap(response: InferenceResponse) -> InferenceResponse:
    if response.error is not None:
        raise response.error
    return response
