"""The configuration of a new model, by what the model itself tells its backend."""

from dataclasses import replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import BackendKind, Surroundings
from tcli_server.backends.registry import backend, handling
from tcli_server.errors import InvalidArgumentError
from tcli_server.proof import Verdict, prove_apart
from tcli_server.repository import ModelFolder
from tcli_server.repository.autocomplete import describe_tensor
from tcli_server.signature import ModelSignature
from tcli_server.zoo.batch_choice import choose_max_batch_size, wrong_batches
from tcli_server.zoo.beside import PictureFacts
from tcli_server.zoo.picture_format import picture_format

_NAMES_SHOWN = 5

_SIZES, _SECONDS = (2, 3), 60.0
"""The batches that a new model is tried with, and how long that may take."""


def describe_model(
    kind: BackendKind, name: str, file: Path, folder: Path, wanted: int | None, pictures: PictureFacts | None = None
) -> tuple[ModelConfig, list[str]]:
    """A model's configuration, and what its reader should know.

    Args:
        file: the model's file, or folder, where a repository has it.
        folder: the model's, with that file in its version 1.
        wanted: the max_batch_size that the user asks for; None for what is right.
        pictures: what is said of how it takes them.

    Raises:
        ServerError: the backend cannot load it, or it cannot be served as asked.
    """
    if wanted is not None and wanted < 0:
        raise InvalidArgumentError(f"max_batch_size is {wanted}: use 0 for no batching, or the largest batch")
    config = ModelConfig(name=name, max_batch_size=wanted or 0)
    _name_backend(config, kind, file)
    runner = backend(kind.name)
    surroundings = Surroundings(folder, 1, version_folder=file.parent)
    runner.complete(config, file, surroundings)
    if config.input and config.output:
        return config, _own_batches(config, folder)
    signature = handling(kind).signature(runner, config, file, surroundings)
    if signature is None:
        raise InvalidArgumentError(_silent(file, kind))
    _check_ranks(signature, file)
    if pictures is not None:
        signature = _with_channels(signature)

    def prove(size: int) -> Verdict:
        return _proved(_with_tensors(config, signature, size), folder)

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


def _proved(config: ModelConfig, folder: Path) -> Verdict:
    return prove_apart(ModelFolder(config.name, folder), version=1, config=config, sizes=_SIZES, limit=_SECONDS)


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


def _silent(file: Path, kind: BackendKind) -> str:
    """What is said of a model that tells nothing of its inputs and outputs."""
    return (
        f"{file} does not say what it takes and gives: write a config.pbtxt with its inputs and outputs yourself (put the "
        f"file into REPOSITORY/NAME/1/{kind.model_file}), or let it say so: a Python model by auto_complete_config"
    )


def _check_ranks(signature: ModelSignature, file: Path) -> None:
    for tensor in (*signature.inputs, *signature.outputs):
        if not tensor.rank_known:
            raise InvalidArgumentError(
                f"{file} does not say how many dimensions '{tensor.name}' ({tensor.datatype or 'of unknown type'}) has: "
                "export it with shapes of its inputs and outputs"
            )


def _with_channels(signature: ModelSignature) -> ModelSignature:
    """A picture of which nothing is fixed has three channels in front, as Hugging Face's exports have it."""
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 4 or set(signature.inputs[0].shape[1:]) != {-1}:
        return signature
    picture = signature.inputs[0]
    return replace(signature, inputs=(replace(picture, shape=(picture.shape[0], 3, -1, -1)),))
