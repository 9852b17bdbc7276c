"""Opens TensorRT's plan files."""

from pathlib import Path

import tensorrt as trt
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Placement, Surroundings
from tcli_server.backends.complaint import Complaint
from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.tensorrt import parameters
from tcli_server.backends.tensorrt.description import EngineDescription
from tcli_server.backends.tensorrt.device import Gpu
from tcli_server.backends.tensorrt.instance import TensorRtInstance
from tcli_server.backends.tensorrt.kind import TENSORRT
from tcli_server.backends.tensorrt.profiles import chosen_profiles
from tcli_server.backends.tensorrt.runtime import load_engine
from tcli_server.backends.tensorrt.signature import check_servable, engine_signature
from tcli_server.errors import UnsupportedError
from tcli_server.hardware.gpu import gpu_count


class TensorRtBackend(Backend):
    """Makes instances of TensorRT engines, which share an engine on each GPU."""

    kind = TENSORRT
    only_on_gpu = True

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return list(parameters.complaints(config))

    def runs_on_gpu(self) -> bool:
        """As `Backend.runs_on_gpu`."""
        return gpu_count() > 0

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:  # noqa: ARG002
        """As `Backend.thread_count`: the GPU does the work."""
        return 0

    def open(
        self, config: ModelConfig, model_file: Path, placement: Placement, surroundings: Surroundings
    ) -> TensorRtInstance:
        """As `Backend.open`.

        Raises:
            ModelFileError: the file is no engine for this GPU and this TensorRT, or cannot be served.
            InvalidArgumentError: the engine has no such profile, or the machine no such DLA core.
            InternalError: the GPU's memory does not suffice.
        """
        if placement.gpu is None:
            raise UnsupportedError(f"instance {placement.name}: TensorRT backend supports only GPU device")
        gpu = Gpu(placement.gpu, parameters.stream_priority(config))
        try:
            engine = load_engine(model_file, placement.gpu, placement.dla_core, surroundings.settings)
            description = engine.description
            check_servable(description, model_file)
            _check_shape_tensors(config, description, model_file)
            profiles = chosen_profiles(placement.profiles, len(description.profiles), placement.name)
            signature = engine_signature(description, profiles, config.max_batch_size > 0)
            largest = _largest_batch(config, signature.most_batch)
            strategy = getattr(trt.ExecutionContextAllocationStrategy, parameters.strategy(config))
            return TensorRtInstance(placement.name, engine, signature, profiles, largest, strategy, gpu)
        except BaseException:
            gpu.close()
            raise


def _largest_batch(config: ModelConfig, most: int | None) -> int:
    """0 where the model does not batch, which a configuration without inputs or outputs leaves to the engine."""
    if most is None:
        return 0
    completed = not ((config.input or config.batch_input) and config.output)
    wanted = config.max_batch_size or (most if completed else 0)
    return min(wanted, most)


def _check_shape_tensors(config: ModelConfig, description: EngineDescription, file: Path) -> None:
    """Whether those are shape tensors that the configuration says are.

    Raises:
        ModelFileError: one is not.
    """
    known = {tensor.name: tensor for tensor in description.tensors}
    for listed in (*config.input, *config.output):
        if listed.is_shape_tensor and listed.name in known and not known[listed.name].is_shape:
            found = f"one where '{listed.name}' is incorrectly specified as a shape tensor"
            fix = "remove is_shape_tensor from the configuration"
            raise ModelFileError(file, f"an engine whose '{listed.name}' is a shape tensor", found, fix)
