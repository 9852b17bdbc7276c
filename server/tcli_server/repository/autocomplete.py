"""Fills in what a configuration leaves out, as Triton does for ONNX models."""

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import ConfigError, InvalidArgumentError
from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.sequence_rules import fed_by_the_server
from tcli_server.signature import ModelSignature, TensorSignature


def complete_config(
    config: ModelConfig,
    folder: ModelFolder,
    signature: ModelSignature,
    default_max_batch_size: int = 4,
    positions: Positions | None = None,
) -> None:
    """Fill inputs, outputs, max_batch_size and the scheduler from the model file, in place, by Triton's rules.

    Nothing is filled where both inputs and outputs are listed. Otherwise a model that can batch gets
    the file's largest batch, or `default_max_batch_size`, where max_batch_size is 0, and `dynamic_batching {}` where it batches and no scheduler is
    chosen. One departure: inputs and outputs come in the file's order, where Triton's order is random.

    Raises:
        ConfigError: max_batch_size is set but the model file cannot batch.
    """
    if (config.input or config.batch_input) and config.output:
        return
    _check_told(config, folder, signature)
    if signature.batchable:
        if config.max_batch_size == 0:
            most = signature.most_batch
            config.max_batch_size = max(0, default_max_batch_size if most is None else most)
        if config.max_batch_size > 1 and not config.WhichOneof("scheduling_choice"):
            config.dynamic_batching.SetInParent()
    elif config.max_batch_size > 0:
        fixed = next(tensor for tensor in (*signature.inputs, *signature.outputs) if not tensor.batchable)
        raise ConfigError(
            [
                Problem(
                    folder.config_path,
                    (positions.line("max_batch_size") or 1) if positions else None,
                    "max_batch_size",
                    f"{config.max_batch_size} (autofill failed for model '{folder.name}': model does not support "
                    f"batching while non-zero max_batch_size is specified: '{fixed.name}' has shape "
                    f"{list(fixed.shape)})",
                    "0, or a model file whose inputs and outputs all have a first dimension that varies",
                    "write max_batch_size: 0, or export the model with a dynamic batch dimension",
                )
            ]
        )
    if not config.input and not config.batch_input:
        ours = set(fed_by_the_server(config))
        for tensor in signature.inputs:
            if tensor.name in ours:
                continue
            describe_tensor(config.input.add(), tensor, config.max_batch_size)
    if not config.output:
        states = {state.output_name for state in config.sequence_batching.state}
        for tensor in signature.outputs:
            if tensor.name in states:
                continue
            describe_tensor(config.output.add(), tensor, config.max_batch_size)


def _check_told(config: ModelConfig, folder: ModelFolder, signature: ModelSignature) -> None:
    """Whether a model file says enough of its tensors to complete what is missing.

    Raises:
        ConfigError: it does not; with what is to be written.
    """
    missing = [
        (side, tensors)
        for side, listed, tensors in (
            ("input", config.input, (*signature.inputs, *signature.overridable)),
            ("output", config.output, signature.outputs),
        )
        if not listed and (not tensors or not all(tensor.datatype for tensor in tensors))
    ]
    if missing and not all(tensor.datatype for tensor in (*signature.inputs, *signature.outputs)):
        raise ConfigError(
            [
                Problem(
                    folder.config_path,
                    None,
                    side,
                    f"no {side}",
                    f"every {side} with its type and dims, as the model file says neither",
                    "add " + (" ".join(_template(side, tensor) for tensor in tensors) or _template(side, None)),
                )
                for side, tensors in missing
            ]
        )


def _template(side: str, tensor: TensorSignature | None) -> str:
    name = tensor.name if tensor is not None else "NAME"
    kind = (
        f"TYPE_{'STRING' if tensor.datatype == 'BYTES' else tensor.datatype or 'FP32'}"
        if tensor is not None
        else "TYPE_FP32"
    )
    return f'{side} {{ name: "{name}" data_type: {kind} dims: [ -1 ] }}'


def describe_tensor(io: ModelInput | ModelOutput, tensor: TensorSignature, max_batch_size: int) -> None:
    """Fill name, data type and dims of an input or output; the batch dimension is left out where the model batches.

    Raises:
        InvalidArgumentError: the tensor has a type that Triton's protocol does not know.
    """
    if tensor.datatype not in BY_NAME:
        raise InvalidArgumentError(
            f"tensor '{tensor.name}' of the model file has type {tensor.datatype}, which Triton's protocol has no "
            "type for: convert it in the model"
        )
    io.name = tensor.name
    io.data_type = BY_NAME[tensor.datatype].config_type
    io.dims.extend(tensor.shape[1:] if max_batch_size > 0 else tensor.shape)
    if not io.dims:
        io.dims.append(1)
        if max_batch_size > 0:
            io.reshape.SetInParent()
