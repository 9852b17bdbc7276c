"""The configuration of a new model, by what the model itself tells its backend."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import BackendKind, Placement, Surroundings
from tcli_server.backends.registry import backend, handling
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.cores import usable_cores
from tcli_server.proof import Verdict, prove_apart
from tcli_server.repository import ModelFolder
from tcli_server.repository.autocomplete import describe_tensor
from tcli_server.signature import ModelSignature, TensorSignature
from tcli_server.zoo.batch_choice import choose_max_batch_size, wrong_batches
from tcli_server.zoo.beside import PictureFacts
from tcli_server.zoo.new_signature import new_signature
from tcli_server.zoo.picture_format import picture_format

_NAMES_SHOWN = 5

_SIZES, _SECONDS = (2, 3), 60.0
"""The batches that a new model is tried with, and how long that may take."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of a model.

    Attributes:
        max_batch_size: None for what is right.
        inputs: every dimension of those that the model itself says nothing of.
        labels: the file of class names, and these names; None for what lies beside the model.
    """

    max_batch_size: int | None = None
    inputs: tuple[TensorSignature, ...] = ()
    labels: tuple[Path, list[str]] | None = None


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
        return config, _own_batches(config, folder)
    signature = new_signature(runner, config, file, surroundings, asked.inputs, pictures)

    def prove(size: int) -> Verdict:
        return _proved(_with_tensors(config, signature, size), folder, _picture_shape(signature, pictures))

    special = handling(kind)
    doubt, is_named = special.batch_doubt(file, signature), special.names_batch(file, signature)
    size, notes = choose_max_batch_size(signature, wanted, doubt, is_named, prove)
    config = _with_tensors(config, signature, size)
    if signature.overridable:
        left_out = ", ".join(tensor.name for tensor in signature.overridable[:_NAMES_SHOWN])
        more = ", ..." if len(signature.overridable) > _NAMES_SHOWN else ""
        notes.append(f"inputs that the file has values for are left out: {left_out}{more}")
    return config, notes


def _own_batches(config: ModelConfig, folder: Path) -> list[str]:
    """What there is to say of the batches of a model that has written its own configuration."""
    verdict = _proved(config, folder)
    said = f"the model itself sets max_batch_size to {config.max_batch_size}, but"
    return [f"{said} {wrong_batches(verdict)}"] if verdict.outcome == "wrong" else []


def _proved(config: ModelConfig, folder: Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Verdict:
    model = ModelFolder(config.name, folder)
    return prove_apart(model, version=1, config=config, shapes=shapes, sizes=_SIZES, limit=_SECONDS)


def _picture_shape(signature: ModelSignature, pictures: PictureFacts | None) -> dict[str, tuple[int, ...]]:
    """The only input with the size of pictures that is spoken of beside the model, where its own varies."""
    if pictures is None or pictures.size is None or len(signature.inputs) != 1:
        return {}
    picture = signature.inputs[0]
    channels_first = picture.shape[1:2] == (3,) and picture.shape[2:] == (-1, -1)
    return {picture.name: (3, *pictures.size)} if channels_first else {}


def _with_tensors(config: ModelConfig, signature: ModelSignature, max_batch_size: int) -> ModelConfig:
    """The configuration with inputs and outputs, for batches of that size."""
    whole = ModelConfig()
    whole.CopyFrom(config)
    whole.max_batch_size = max_batch_size
    for tensor in signature.inputs:
        listed = whole.input.add()
        describe_tensor(listed, tensor, max_batch_size)
        listed.format = picture_format(listed, max_batch_size)
    for tensor in signature.outputs:
        describe_tensor(whole.output.add(), tensor, max_batch_size)
    if max_batch_size > 1:
        whole.dynamic_batching.SetInParent()
    return whole


def _name_backend(config: ModelConfig, kind: BackendKind, file: Path) -> None:
    """By the platform where Triton has such a word and the file has the usual name, else by both names."""
    is_usual = file.name == kind.model_file
    if kind.platform and is_usual:
        config.platform = kind.platform
    else:
        config.backend = kind.name
    if not is_usual:
        config.default_model_filename = file.name
