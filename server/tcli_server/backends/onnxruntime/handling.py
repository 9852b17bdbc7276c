"""What is special about ONNX files while they are added to a repository."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Surroundings
from tcli_server.backends.handling import Handling
from tcli_server.backends.onnxruntime.batch_names import batch_doubt, names_batch
from tcli_server.backends.onnxruntime.graph import external_files, load_graph, load_outline, model_signature
from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InvalidArgumentError
from tcli_server.signature import ModelSignature, TensorSignature

_NO_TENSORS = {
    "SEQUENCE": "convert a scikit-learn classifier with options={'zipmap': False}, and make a tensor of any other sequence "
    "in the model (ConcatFromSequence)",
    "MAP": "convert a scikit-learn classifier with options={'zipmap': False}",
    "OPTIONAL": "export the model so that it always takes and gives a tensor here (OptionalGetElement)",
    "SPARSE_TENSOR": "export the model with a dense tensor here",
}
"""Kinds of ONNX values that are no tensors, and what to do about each."""


class OnnxHandling(Handling):
    """Weights in files of their own go along; shapes are worked out where the file leaves them open."""

    def parts(self, path: Path) -> dict[str, Path]:
        """As `Handling.parts`: the files that hold weights."""
        return dict(_external(path, location) for location in external_files(load_outline(path)))

    def batch_doubt(self, path: Path, signature: ModelSignature) -> str:
        """As `Handling.batch_doubt`: by the names of dimensions, and by operators."""
        return batch_doubt(load_graph(path), signature)

    def names_batch(self, path: Path, signature: ModelSignature) -> bool:
        """As `Handling.names_batch`."""
        return names_batch(load_graph(path).graph, signature)

    def needs(self, path: Path) -> tuple[str, ...]:
        """As `Handling.needs`."""
        return tuple(external_files(load_outline(path)))

    def signature(
        self,
        backend: Backend,  # noqa: ARG002
        config: ModelConfig,  # noqa: ARG002
        model_file: Path,
        surroundings: Surroundings,  # noqa: ARG002
    ) -> ModelSignature:
        """As `Handling.signature`, by ONNX Runtime without optimizing the graph, or else by ONNX."""
        from tcli_server.backends.onnxruntime.signature import read_session_signature  # loads ONNX Runtime

        model = load_graph(model_file)
        declared = model_signature(model)
        for tensor in (*declared.inputs, *declared.outputs):
            _refuse_type(tensor, model_file)
        signature = read_session_signature(model_file)
        if all(tensor.rank_known for tensor in (*signature.inputs, *signature.outputs)):
            return signature
        return model_signature(onnx.shape_inference.infer_shapes(model))


def _refuse_type(tensor: TensorSignature, file: Path) -> None:
    """Refuse what is no tensor, with what to do about it, and what ONNX Runtime would only refuse in its own words."""
    fix = _NO_TENSORS.get(tensor.datatype)
    if fix is not None:
        raise InvalidArgumentError(
            f"{file}: '{tensor.name}' is {_articled(tensor.datatype)}, Triton's protocol has tensors only: {fix}"
        )
    if tensor.datatype not in BY_NAME:
        raise InvalidArgumentError(
            f"{file}: tensor '{tensor.name}' of the model file has type {tensor.datatype}, which Triton's protocol has no "
            "type for: convert it in the model"
        )


def _articled(kind: str) -> str:
    text = kind.lower().replace("_", " ")
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"


def _external(file: Path, location: str) -> tuple[str, Path]:
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    leaves = posix.is_absolute() or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts)
    if leaves or "\0" in location:
        raise InvalidArgumentError(f"{file} keeps weights in '{location}', outside of its own folder: export it again")
    source = file.parent / location
    if not source.is_file():
        raise InvalidArgumentError(f"{file} keeps weights in '{location}', which is not beside it: put it there")
    return location, source
