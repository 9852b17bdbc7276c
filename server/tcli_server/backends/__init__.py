"""What can run a model file: one file each, behind one small interface.

A backend is told the model's complete configuration and gives instances; an instance runs whole batches and knows
nothing of requests, queues or the wire:

    instance = OnnxRuntimeBackend(options).create_instance(config, model_file, placement)
    arrays = instance.run({"INPUT0": batch_of_inputs}, ["OUTPUT0"])
    instance.close()
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.signature import ModelSignature


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one instance runs.

    Attributes:
        name: the instance's name, `<group>_<i>` on CPU and `<group>_<i>_gpu<id>` on a GPU.
        gpu: the GPU's index, None for CPU.
        threads: cores that this instance may fill by default.
    """

    name: str
    gpu: int | None
    threads: int


class Instance(Protocol):
    """One copy of a model, used by one thread at a time."""

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """Run one batch.

        Args:
            inputs: arrays in the model file's own shapes, batch dimension included.
            outputs: names of the outputs to compute.

        Returns:
            One array an output, in the order asked.

        Raises:
            ServerError: the model could not run on these inputs.
        """

    def close(self) -> None:
        """Give memory and devices back."""


class Backend(Protocol):
    """Runs one kind of model file."""

    name: str

    def read_signature(self, model_file: Path) -> ModelSignature:
        """What the file itself says of its inputs and outputs, for auto-completion and checks.

        Raises:
            InvalidArgumentError: the file is not a model of this kind.
        """

    def runs_on_gpu(self) -> bool:
        """Whether GPU instances can work here: there is a GPU and this backend's libraries for it are installed."""

    def create_instance(self, config: ModelConfig, model_file: Path, placement: Placement) -> Instance:
        """Load one instance.

        Raises:
            ServerError: the file cannot be loaded, or not where `placement` says.
        """
