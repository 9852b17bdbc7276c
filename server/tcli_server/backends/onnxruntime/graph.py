"""Reads what an ONNX file takes and gives, without loading it into ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError, Message

from tcli_server.backends.onnxruntime.file import check_content, not_onnx
from tcli_server.backends.onnxruntime.outline import NoOutlineError, read_outline
from tcli_server.signature import ModelSignature, TensorSignature

_DATATYPES = {
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.DOUBLE: "FP64",
    onnx.TensorProto.STRING: "BYTES",
    onnx.TensorProto.BFLOAT16: "BF16",
}


_MEMORY = "_ORT_MEM_ADDR_"
"""In a location, some versions of ONNX Runtime take the offset for an address in this process' memory."""


def load_graph(path: Path) -> onnx.ModelProto:
    """The model of an ONNX file, tensors in external files not loaded.

    Raises:
        ModelFileError: the file is missing, or is no ONNX model; says what it is instead where that is known.
    """
    check_content(path)
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except DecodeError:
        size = f"{path.stat().st_size:,} bytes"
        raise not_onnx(path, f"no ONNX file, or a truncated one ({size})", "export or fetch it again") from None
    if not model.opset_import or not model.graph.output:
        raise not_onnx(path, "no ONNX file: it has no graph with outputs", "export or fetch it again")
    return model


def load_outline(path: Path) -> onnx.ModelProto:
    """As `load_graph`, without the values of the initializers: quick, and small, however large the file is."""
    check_content(path)
    try:
        model = onnx.ModelProto.FromString(read_outline(path))
    except (NoOutlineError, DecodeError):
        return load_graph(path)  # says what is wrong
    return model if model.opset_import and model.graph.output else load_graph(path)


def external_files(model: onnx.ModelProto) -> list[str]:
    """The files that hold weights beside the model file, relative to its folder, as the file names them."""
    names: dict[str, None] = {}
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            names.update((entry.value, None) for entry in tensor.external_data if entry.key == "location")
    return list(names)


def check_external_files(model: onnx.ModelProto, path: Path) -> None:
    """Whether the files that hold weights are there, inside the model file's folder.

    Raises:
        ModelFileError: one is missing or would be read from elsewhere.
    """
    for location in external_files(model):
        posix, windows = PurePosixPath(location), PureWindowsPath(location)
        leaves = posix.is_absolute() or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts)
        if leaves or "\0" in location or _MEMORY in location:
            raise not_onnx(
                path,
                f"a model with weights in '{location}', outside of its folder",
                "export it with its weights beside it",
            )
        if not (path.parent / location).is_file():
            raise not_onnx(
                path,
                f"a model without '{location}' beside it, which holds weights",
                f"copy the file to {path.parent / location} from where the model was exported",
            )


def read_signature(path: Path) -> ModelSignature:
    """What an ONNX file takes and gives; dimensions that are named or unknown are -1.

    Inputs that have an initializer are `overridable`, as requests may leave them out.

    Raises:
        ModelFileError: the file is missing or is no ONNX model.
    """
    return model_signature(load_outline(path))


def model_signature(model: onnx.ModelProto) -> ModelSignature:
    """What a loaded ONNX model takes and gives, see `read_signature`.

    Up to version 3 of ONNX every weight had to be listed as an input, so there a listed weight is no input.
    """
    graph = model.graph
    initialized = {tensor.name for tensor in graph.initializer}
    initialized.update(tensor.values.name for tensor in graph.sparse_initializer)
    tensors = [_tensor(value) for value in graph.input]
    overridable = [tensor for tensor in tensors if tensor.name in initialized] if model.ir_version >= 4 else []
    return ModelSignature(
        inputs=tuple(tensor for tensor in tensors if tensor.name not in initialized),
        outputs=tuple(_tensor(value) for value in graph.output),
        overridable=tuple(overridable),
    )


def _tensor(value: onnx.ValueInfoProto) -> TensorSignature:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return TensorSignature(value.name, str(kind or "UNKNOWN").removesuffix("_type").upper(), (), rank_known=False)
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return TensorSignature(value.name, _datatype(tensor.elem_type), (), rank_known=False)
    shape = tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else -1 for dim in tensor.shape.dim)
    return TensorSignature(value.name, _datatype(tensor.elem_type), shape)


def _datatype(elem_type: int) -> str:
    if elem_type in _DATATYPES:
        return _DATATYPES[elem_type]
    if elem_type not in onnx.TensorProto.DataType.values():  # a type of a newer ONNX, or a damaged file
        return f"TYPE_{elem_type}"
    return str(onnx.TensorProto.DataType.Name(elem_type))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor with values of its own anywhere in a model: weights, constants, sparse ones, in functions too."""
    waiting: list[Message] = [model]
    while waiting:
        message = waiting.pop()
        if isinstance(message, onnx.TensorProto):
            yield message
            continue
        for field, value in message.ListFields():
            if field.message_type is not None and field.message_type.file is onnx.TensorProto.DESCRIPTOR.file:
                waiting += value if field.is_repeated else [value]
