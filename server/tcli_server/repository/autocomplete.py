"""Fills in what a configuration leaves out, as Triton does for ONNX models."""

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import ConfigError, InvalidArgumentError
from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.problem import Problem
from tcli_server.signature import ModelSignature, TensorSignature

ONNX_FILE = "model.onnx"

# Triton's order: the first that fits decides.
_BACKENDS = (
    ("tensorrt", "tensorrt_plan", "model.plan"),
    ("onnxruntime", "onnxruntime_onnx", ONNX_FILE),
    ("openvino", "", "model.xml"),
    ("pytorch", "pytorch_libtorch", "model.pt"),
    ("python", "", "model.py"),
)


def infer_backend(config: ModelConfig, folder: ModelFolder) -> None:
    """Fill name, backend, platform and default_model_filename where they are empty.

    The backend comes from the platform, else from default_model_filename, else from what the first version folder
    holds; a file name that ends in `.onnx` is enough.

    Raises:
        InvalidArgumentError: nothing tells which backend runs the model.
    """
    if not config.name:
        config.name = folder.name
    if config.platform == "ensemble":
        return
    if not config.backend:
        config.backend = _find_backend(config, folder)
    for backend, platform, filename in _BACKENDS:
        if backend == config.backend:
            config.platform = config.platform or platform
            config.default_model_filename = config.default_model_filename or filename


def complete_config(
    config: ModelConfig, folder: ModelFolder, signature: ModelSignature, default_max_batch_size: int = 4
) -> None:
    """Fill inputs, outputs, max_batch_size and the scheduler from the model file, in place, by Triton's rules.

    Nothing is filled where both inputs and outputs are listed. Otherwise a model that can batch gets
    `default_max_batch_size` where max_batch_size is 0, and `dynamic_batching {}` where it batches and no scheduler is
    chosen. One departure: inputs and outputs come in the file's order, where Triton's order is random.

    Raises:
        ConfigError: max_batch_size is set but the model file cannot batch.
    """
    if (config.input or config.batch_input) and config.output:
        return
    if signature.batchable:
        if config.max_batch_size == 0:
            config.max_batch_size = max(0, default_max_batch_size)
        if config.max_batch_size > 1 and not config.WhichOneof("scheduling_choice"):
            config.dynamic_batching.SetInParent()
    elif config.max_batch_size > 0:
        fixed = next(tensor for tensor in (*signature.inputs, *signature.outputs) if not tensor.batchable)
        raise ConfigError(
            [
                Problem(
                    folder.config_path,
                    None,
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
        for tensor in signature.inputs:
            describe_tensor(config.input.add(), tensor, config.max_batch_size)
    if not config.output:
        for tensor in signature.outputs:
            describe_tensor(config.output.add(), tensor, config.max_batch_size)


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


def _find_backend(config: ModelConfig, folder: ModelFolder) -> str:
    if config.platform:
        for backend, platform, _ in _BACKENDS:
            if config.platform == platform:
                return backend
        raise InvalidArgumentError(
            f"unexpected platform type '{config.platform}' for {folder.name}: an ONNX model has platform: "
            '"onnxruntime_onnx" or backend: "onnxruntime"'
        )
    if config.default_model_filename:
        for backend, _, filename in _BACKENDS:
            if config.default_model_filename == filename:
                return backend
        if config.default_model_filename.endswith(".onnx"):
            return "onnxruntime"
    else:
        folders = sorted(folder.version_folders().values(), key=lambda path: path.name)
        content = {entry.name for entry in folders[0].iterdir()} if folders else set()
        for backend, _, filename in _BACKENDS:
            if filename in content:
                return backend
    found = f"{folder.path} has no file that tells" if not config.default_model_filename else "the file name does not"
    raise InvalidArgumentError(
        f"could not determine the backend of model '{folder.name}': the configuration names none and {found} "
        f'(expected {folder.path / "1" / ONNX_FILE}); put the model there, or write backend: "onnxruntime" and '
        "default_model_filename"
    )
