"""The configuration of a new model, by what the model itself tells its backend."""

from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, BackendKind, Placement, Surroundings
from tcli_server.backends.onnxruntime.graph import load_graph
from tcli_server.backends.onnxruntime.kind import ONNXRUNTIME
from tcli_server.backends.registry import backend, handling
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.cores import usable_cores
from tcli_server.repository import CONFIG_FILE
from tcli_server.repository.autocomplete import describe_tensor
from tcli_server.signature import ModelSignature, TensorSignature
from tcli_server.zoo.batch_choice import choose_max_batch_size
from tcli_server.zoo.beside import PictureFacts
from tcli_server.zoo.picture_format import picture_format
from tcli_server.zoo.told_inputs import check_known, is_complete, with_told

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of a model.

    Attributes:
        max_batch_size: None for what is right.
        inputs: every dimension of those that the model itself says nothing of.
    """

    max_batch_size: int | None = None
    inputs: tuple[TensorSignature, ...] = ()


def describe_model(
    kind: BackendKind, name: str, file: Path, folder: Path, asked: Asked, pictures: PictureFacts | None = None
) -> tuple[ModelConfig, list[str]]:
    """A model's configuration, and what its reader should know.

    Args:
        file: the model's file, or folder, where a repository has it.
        folder: the model's, with that file in its version 1.
        pictures: what is said of how it takes them.

    Raises:
        ServerError: the backend cannot load it, or it cannot be served as asked.
    """
    wanted = asked.max_batch_size
    if wanted is not None and wanted < 0:
        raise InvalidArgumentError(f"max_batch_size is {wanted}: use 0 for no batching, or the largest batch")
    config = ModelConfig(name=name, max_batch_size=wanted or 0)
    _name_backend(config, kind, file)
    runner = backend(kind.name)
    surroundings = Surroundings(folder, 1, version_folder=file.parent)
    runner.complete(config, file, surroundings)
    if config.input and config.output:
        runner.open(config, file, Placement(name, None, usable_cores()), surroundings).close()  # does it load?
        return config, []
    signature = _signature(runner, config, file, surroundings, asked.inputs, pictures)
    config.max_batch_size, notes = _batching(kind, file, signature, wanted)
    for tensor in signature.inputs:
        listed = config.input.add()
        describe_tensor(listed, tensor, config.max_batch_size)
        listed.format = picture_format(listed, config.max_batch_size)
    for tensor in signature.outputs:
        describe_tensor(config.output.add(), tensor, config.max_batch_size)
    if signature.overridable:
        left_out = ", ".join(tensor.name for tensor in signature.overridable[:_NAMES_SHOWN])
        more = ", ..." if len(signature.overridable) > _NAMES_SHOWN else ""
        notes.append(f"inputs that the file has values for are left out: {left_out}{more}")
    if config.max_batch_size > 1:
        config.dynamic_batching.SetInParent()
    return config, notes


def _signature(
    runner: Backend,
    config: ModelConfig,
    file: Path,
    surroundings: Surroundings,
    told: tuple[TensorSignature, ...],
    pictures: PictureFacts | None,
) -> ModelSignature:
    """What the model takes and gives, as it says itself, and where it does not, as it is told."""
    reader = handling(runner.kind)
    signature = reader.signature(runner, config, file, surroundings)
    if signature is None:
        raise InvalidArgumentError(_silent(file))
    if pictures is not None:
        signature = _with_channels(signature)
        told = told or _as_picture(signature, pictures)
    if told:
        signature = with_told(signature, told, file)
    if told and not is_complete(signature):
        for tensor in signature.inputs:
            if tensor.datatype and tensor.rank_known:
                describe_tensor(config.input.add(), tensor, 0)
        signature = reader.signature(runner, config, file, surroundings) or signature
        config.ClearField("input")
    check_known(signature, file)
    return signature


def _as_picture(signature: ModelSignature, pictures: PictureFacts) -> tuple[TensorSignature, ...]:
    """The only input, of which nothing is known, as the picture that is spoken of beside the model."""
    if len(signature.inputs) != 1 or signature.inputs[0].datatype or signature.inputs[0].rank_known:
        return ()
    return (TensorSignature(signature.inputs[0].name, "FP32", (-1, 3, *(pictures.size or (-1, -1)))),)


def _name_backend(config: ModelConfig, kind: BackendKind, file: Path) -> None:
    """By the platform where Triton has such a word and the file has the usual name, else by both names."""
    is_usual = file.name == kind.model_file
    if kind.platform and is_usual:
        config.platform = kind.platform
    else:
        config.backend = kind.name
    if not is_usual:
        config.default_model_filename = file.name


def _silent(file: Path) -> str:
    """What is said of a model that tells nothing of its inputs and outputs."""
    return (
        f"{file} does not say what it takes and gives: let it say so in auto_complete_config, or put a {CONFIG_FILE} with its "
        "inputs and outputs beside it and add the folder"
    )


def _with_channels(signature: ModelSignature) -> ModelSignature:
    """A picture of which nothing is fixed has three channels in front, as Hugging Face's exports have it."""
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 4 or set(signature.inputs[0].shape[1:]) != {-1}:
        return signature
    picture = signature.inputs[0]
    return replace(signature, inputs=(replace(picture, shape=(picture.shape[0], 3, -1, -1)),))


def _batching(kind: BackendKind, file: Path, signature: ModelSignature, wanted: int | None) -> tuple[int, list[str]]:
    if kind == ONNXRUNTIME:
        return choose_max_batch_size(file, load_graph(file), signature, wanted)
    if wanted == 0:
        return 0, []
    fixed = next((tensor for tensor in (*signature.inputs, *signature.outputs) if not tensor.batchable), None)
    if fixed is not None:
        reason = f"'{fixed.name}' has shape {list(fixed.shape)}, its first dimension does not vary"
        if wanted is not None:
            raise InvalidArgumentError(f"the model cannot batch: {reason}. Leave --max-batch-size out or give 0")
        return 0, [f"max_batch_size is 0: {reason}"]
    unproven = "whether a batch gives what its items give alone was not tried"
    if wanted is not None:
        return wanted, [f"max_batch_size is {wanted} as asked for, but {unproven}"]
    return 0, [f"max_batch_size is 0: {unproven}; --max-batch-size N sets another"]
