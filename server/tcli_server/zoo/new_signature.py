"""What a new model takes and gives: as it says itself, and where it does not, as it is told."""

from dataclasses import replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Surroundings
from tcli_server.backends.registry import handling
from tcli_server.errors import InvalidArgumentError
from tcli_server.repository import CONFIG_FILE
from tcli_server.repository.autocomplete import describe_tensor
from tcli_server.signature import ModelSignature, TensorSignature
from tcli_server.zoo.beside import PictureFacts
from tcli_server.zoo.told_inputs import check_known, is_complete, with_told


def new_signature(
    runner: Backend,
    config: ModelConfig,
    file: Path,
    surroundings: Surroundings,
    told: tuple[TensorSignature, ...],
    pictures: PictureFacts | None,
) -> ModelSignature:
    """The signature, with the type and every dimension of each input and output.

    Args:
        config: names the model and its backend; the backend is shown the inputs that are told in it for a moment.
        told: by the user.
        pictures: what is said of how it takes them.

    Raises:
        InvalidArgumentError: something is not known; says how to tell it.
    """
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
