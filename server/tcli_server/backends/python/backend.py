"""Opens Python models."""

import os
import sys
from pathlib import Path

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Complaint, Placement, Surroundings
from tcli_server.backends.python.instance import PythonInstance, failure
from tcli_server.backends.python.kind import PYTHON
from tcli_server.backends.python.process import Handler, WorkerProcess
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.gpu import gpu_count
from tcli_server.hardware.memory import usable_memory

_MEMORY_SHARE = 4


class PythonBackend:
    """Makes instances of `model.py` files."""

    kind = PYTHON
    default_max_batch_size = 0

    def complaints(self, _: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return []

    def runs_on_gpu(self) -> bool:
        """As `Backend.runs_on_gpu`: the model itself has to use it."""
        return gpu_count() > 0

    def thread_count(self, _: ModelConfig, __: Placement) -> int:
        """As `Backend.thread_count`: none of this process."""
        return 0

    def complete(self, config: ModelConfig, model_file: Path, surroundings: Surroundings) -> None:
        """As `Backend.complete`: `auto_complete_config` runs in a process of its own."""
        process = _start(config.name, lambda _: None)
        try:
            order = {
                "kind": "auto_complete",
                "path": str(model_file),
                "version": str(surroundings.version),
                "config": _document(config),
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
            "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
            "model_instance_kind": "CPU" if placement.gpu is None else "GPU",
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

        def start(handle: Handler) -> WorkerProcess:
            return _start(placement.name, handle)

        return PythonInstance(placement.name, start, load, None, surroundings)


def _start(name: str, handle: Handler) -> WorkerProcess:
    return WorkerProcess(name, sys.executable, os.environ, usable_memory() // _MEMORY_SHARE, handle)


def _document(config: ModelConfig) -> dict[str, object]:
    return json_format.MessageToDict(config, preserving_proto_field_name=True)


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
