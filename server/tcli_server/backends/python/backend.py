"""Opens Python models."""

import json
from collections.abc import Callable
from pathlib import Path

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, BackendKind, Placement, Surroundings
from tcli_server.backends.complaint import Complaint
from tcli_server.backends.python import parameters
from tcli_server.backends.python.branches import Branch
from tcli_server.backends.python.environment import python_environment
from tcli_server.backends.python.failures import failure
from tcli_server.backends.python.inferences import Inferences
from tcli_server.backends.python.instance import PythonInstance
from tcli_server.backends.python.kind import PYTHON
from tcli_server.backends.python.names import name_complaints
from tcli_server.backends.python.process import WorkerProcess
from tcli_server.backends.python.services import Services
from tcli_server.backends.python.stub.wire import Message
from tcli_server.backends.python.supervisor import Handle, Start
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.hardware.gpu import gpu_count
from tcli_server.messages import to_json

_SHARED_ENVIRONMENT = "pb_exec_env_model.py.tar.gz"
"""Beside the code that models share: the environment of those that name none."""


class PythonBackend(Backend):
    """Makes instances of `model.py` files.

    Args:
        kind: another one where all its models share their code.
        code: that code, a `model.py` in the backend's folder.
    """

    default_max_batch_size = 0

    def __init__(self, kind: BackendKind = PYTHON, code: Path | None = None) -> None:
        self.kind = kind
        self.code = code

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return [*parameters.complaints(config), *name_complaints(config, self.code)]

    def runs_on_gpu(self) -> bool:
        """As `Backend.runs_on_gpu`: the model itself has to use it."""
        return gpu_count() > 0

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:  # noqa: ARG002
        """As `Backend.thread_count`: none of this process."""
        return 0

    def complete(self, config: ModelConfig, model_file: Path, surroundings: Surroundings) -> None:
        """As `Backend.complete`: `auto_complete_config` runs in a process of its own."""
        process = self._starter(config, config.name, surroundings)(lambda *_: None, lambda _: None)
        try:
            order = {"kind": "auto_complete", **self._place(model_file, surroundings), "config": to_json(config)}
            reply = process.order(order)
        finally:
            process.close()
        failure(reply, f"load failed for model '{config.name}': auto_complete_config")
        if reply["config"] is not None:
            _take_over(config, reply["config"])

    def open(
        self, config: ModelConfig, model_file: Path, placement: Placement, surroundings: Surroundings
    ) -> PythonInstance:
        """As `Backend.open`."""
        arguments = {
            "model_config": json.dumps(to_json(config)),
            "model_instance_kind": "MODEL" if placement.by_model else "CPU" if placement.gpu is None else "GPU",
            "model_instance_name": placement.name,
            "model_instance_device_id": str(placement.gpu or 0),
            "model_repository": str(surroundings.folder),
            "model_version": str(surroundings.version),
            "model_name": config.name,
        }
        load = {
            "kind": "load",
            **self._place(model_file, surroundings),
            "instance": placement.name,
            "decoupled": config.model_transaction_policy.decoupled,
            "arguments": arguments,
        }
        limit = parameters.read_parameters(config).time_limit_secs
        start = self._starter(config, placement.name, surroundings)
        return PythonInstance(placement.name, start, load, limit, surroundings)

    def _place(self, model_file: Path, surroundings: Surroundings) -> Message:
        """Where a worker finds the code and the version's files, and what it imports the code as."""
        version = surroundings.version_folder or model_file.parent
        package = str(surroundings.version) if self.code is None else ""
        return {"path": str(model_file), "folder": str(version), "package": package}

    def _starter(self, config: ModelConfig, name: str, surroundings: Surroundings) -> Start:
        """What starts a worker for a model, and starts it anew.

        Raises:
            InvalidArgumentError: the model's environment is none, or a setting is wrong.
        """
        limit = parameters.memory_limit(surroundings.settings)
        path = parameters.read_parameters(config).environment
        if not path and self.code is not None:
            packed = self.code.parent / _SHARED_ENVIRONMENT
            path = str(packed) if packed.is_file() else ""
        environment = python_environment(path, surroundings.folder)

        def serve_fork() -> tuple[dict[str, Callable[[Branch, Message], None]], Callable[[], None]]:
            services, inferences = Services(config.name, surroundings.host), Inferences(surroundings.host)

            def let_go() -> None:
                services.close()
                inferences.close()

            return {**services.handlers, **inferences.handlers}, let_go

        def start(handle: Handle, gone: Callable[[WorkerProcess], None]) -> WorkerProcess:
            services = Services(config.name, surroundings.host)

            def handle_any(process: WorkerProcess, message: Message) -> None:
                if message["kind"] == "forked":
                    process.branches.listen()
                else:
                    services.handlers.get(message["kind"], handle)(process, message)

            def gone_for_all(process: WorkerProcess) -> None:
                services.close()
                gone(process)

            return WorkerProcess(
                name, environment.interpreter, environment.variables, limit, handle_any, gone_for_all, serve_fork
            )

        return start


def _take_over(config: ModelConfig, document: dict[str, object]) -> None:
    """What Triton takes back from a model: batching, inputs, outputs and the transaction policy."""
    try:
        said = json_format.ParseDict(document, ModelConfig())
    except (ValueError, json_format.ParseError) as error:
        raise InvalidArgumentError(
            f"auto_complete_config of model '{config.name}' gave no configuration: {error}"
        ) from None
    scheduler, chosen = said.WhichOneof("scheduling_choice"), config.WhichOneof("scheduling_choice")
    if scheduler and chosen and scheduler != chosen:
        raise InternalError(
            f"Cannot update scheduling choice from {chosen} to {scheduler} when auto-completing model '{config.name}'; fix: "
            "choose one, in config.pbtxt or in auto_complete_config"
        )
    config.max_batch_size = said.max_batch_size
    for field in ("input", "output"):
        config.ClearField(field)
        getattr(config, field).extend(getattr(said, field))
    if said.HasField("model_transaction_policy"):
        config.model_transaction_policy.CopyFrom(said.model_transaction_policy)
    if scheduler and not chosen:
        getattr(config, scheduler).CopyFrom(getattr(said, scheduler))
