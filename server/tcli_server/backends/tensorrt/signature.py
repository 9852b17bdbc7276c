"""An engine as the server sees it: shapes with the batch, and how large that may be."""

from collections.abc import Sequence
from pathlib import Path

from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.tensorrt.description import EngineDescription, EngineTensor
from tcli_server.backends.tensorrt.profiles import fixed_batch, largest_batch
from tcli_server.datatypes import BY_NAME
from tcli_server.signature import ModelSignature, TensorSignature


def engine_signature(description: EngineDescription, profiles: Sequence[int], batches: bool) -> ModelSignature:
    """The signature of an engine that runs by certain profiles.

    Args:
        batches: the configuration says that the first dimensions are the batch, which counts for an engine whose batch is
            fixed: smaller ones are filled up.
    """
    most = largest_batch(description, profiles)
    fixed = fixed_batch(description) if batches and most is None else None

    def shown(tensor: EngineTensor) -> TensorSignature:
        shape = tensor.shape if fixed is None else (-1, *tensor.shape[1:])
        return TensorSignature(tensor.name, tensor.datatype, shape)

    return ModelSignature(
        tuple(map(shown, description.inputs)),
        tuple(map(shown, description.outputs)),
        most_batch=most if most is not None else fixed,
    )


def check_servable(description: EngineDescription, file: Path) -> None:
    """Whether all that goes in and out can pass.

    Raises:
        ModelFileError: a tensor has a type that V2 does not know, or lies in memory in another order than requests do.
    """
    for tensor in description.tensors:
        if tensor.datatype not in BY_NAME:
            expected = "a TensorRT engine whose inputs and outputs have types of the V2 protocol"
            found = f"one whose '{tensor.name}' is {tensor.datatype}"
            raise ModelFileError(file, expected, found, "build it with inputs and outputs of FP32 or FP16")
        if tensor.layout:
            expected = "a TensorRT engine whose inputs and outputs are linear"
            found = f"one whose '{tensor.name}' is laid out as {tensor.layout}"
            fix = "build it without --inputIOFormats and --outputIOFormats other than chw"
            raise ModelFileError(file, expected, found, fix)
