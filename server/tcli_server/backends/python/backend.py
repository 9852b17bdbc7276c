"""Opens Python models."""

import json
from collections.abc import Callable
from pathlib import Path

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Complaint, Placement, Surroundings
from tcli_server.backends.python import parameters
from tcli_server.backends.python.environment import python_environment
from tcli_server.backends.python.failures import failure
from tcli_server.backends.python.instance import PythonInstance
from tcli_server.backends.python.kind import PYTHON
from tcli_server.backends.python.process import WorkerProcess
from tcli_server.backends.python.services import Services
from tcli_server.backends.python.stub.wire import Message
from tcli_server.backends.python.supervisor import Handle, Start
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.gpu import gpu_count
from tcli_server.messages import to_json


class PythonBackend:
    """Makes instances of `model.py` files."""

    kind = PYTHON
    default_max_batch_size = 0

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return list(parameters.complaints(config))

    def runs_on_gpu(self) -> bool:
        """As `Backend.runs_on_gpu`: the model itself has to use it."""
        return gpu_count() > 0

    def thread_count(self, _: ModelConfig, __: Placement) -> int:
        """As `Backend.thread_count`: none of this process."""
        return 0

    def complete(self, config: ModelConfig, model_file: Path, surroundings: Surroundings) -> None:
        """As `Backend.complete`: `auto_complete_config` runs in a process of its own."""
        process = _starter(config, config.name, surroundings)(lambda *_: None, lambda _: None)
        try:
            order = {
                "kind": "auto_complete",
                "path": str(model_file),
                "version": str(surroundings.version),
                "config": to_json(config),
            }
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
            "model_instance_kind": _kind(placement),
            "model_instance_name": placement.name,
            "model_instance_device_id": str(placement.gpu or 0),
            "model_repository": str(surroundings.folder),
            "model_version": str(surroundings.version),
            "model_name": config.name,
        }
        load = {
            "kind": "load",
            "path": str(model_file),
            "version": str(surroundings.version),
            "instance": placement.name,
            "decoupled": config.model_transaction_policy.decoupled,
            "arguments": arguments,
        }

        limit = parameters.read_parameters(config).time_limit_secs
        return PythonInstance(placement.name, _starter(config, placement.name, surroundings), load, limit, surroundings)


def _starter(config: ModelConfig, name: str, surroundings: Surroundings) -> Start:
    """What starts a worker for a model, and starts it anew.

    Raises:
        InvalidArgumentError: the model's environment is none, or a setting is wrong.
    """
    limit = parameters.memory_limit(surroundings.settings)
    path = parameters.read_parameters(config).environment
    environment = python_environment(path, surroundings.folder)

    def start(handle: Handle, gone: Callable[[WorkerProcess], None]) -> WorkerProcess:
        services = Services(config.name, surroundings.host)

        def handle_any(process: WorkerProcess, message: Message) -> None:
            services.handlers.get(message["kind"], handle)(process, message)

        def gone_for_all(process: WorkerProcess) -> None:
            services.close()
            gone(process)

        return WorkerProcess(name, environment.interpreter, environment.variables, limit, handle_any, gone_for_all)

    return start


def _kind(placement: Placement) -> str:
    if placement.model_places:
        return "MODEL"
    return "CPU" if placement.gpu is None else "GPU"


def _take_over(config: ModelConfig, document: dict[str, object]) -> None:
    """What Triton takes back from a model: batching, inputs, outputs and the transaction policy."""
    try:
        said = json_format.ParseDict(document, ModelConfig())
    except (ValueError, json_format.ParseError) as error:
        raise InvalidArgumentError(
            f"auto_complete_config of model '{config.name}' gave no configuration: {error}"
        ) from None
    config.max_batch_size = said.max_batch_size
    for field in ("input", "output"):
        config.ClearField(field)
        getattr(config, field).extend(getattr(said, field))
    if said.HasField("model_transaction_policy"):
        config.model_transaction_policy.CopyFrom(said.model_transaction_policy)
    if said.HasField("dynamic_batching") and not config.WhichOneof("scheduling_choice"):
        config.dynamic_batching.CopyFrom(said.dynamic_batching)
