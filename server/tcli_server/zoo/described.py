"""The configuration of a new model, by what the model itself tells its backend."""

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import BackendKind, Surroundings
from tcli_server.backends.onnxruntime.graph import load_graph
from tcli_server.backends.onnxruntime.kind import ONNXRUNTIME
from tcli_server.backends.registry import backend, handling
from tcli_server.errors import InvalidArgumentError
from tcli_server.repository.autocomplete import describe_tensor
from tcli_server.signature import ModelSignature
from tcli_server.zoo.batch_choice import choose_max_batch_size
from tcli_server.zoo.picture_format import picture_format

_NAMES_SHOWN = 5


def describe_model(
    kind: BackendKind, name: str, file: Path, folder: Path, wanted: int | None
) -> tuple[ModelConfig, list[str]]:
    """A model's configuration, and what its reader should know.

    Args:
        file: the model's file, or folder, where a repository has it.
        folder: the model's, with that file in its version 1.
        wanted: the max_batch_size that the user asks for; None for what is right.

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
        return config, []
    signature = handling(kind).signature(runner, config, file, surroundings)
    if signature is None:
        raise InvalidArgumentError(_silent(file, kind))
    _check_ranks(signature, file)
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
