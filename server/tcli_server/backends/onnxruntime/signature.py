"""What a session takes and gives: the shapes that ONNX Runtime infers, by which Triton judges a configuration too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from tcli_server.errors import InvalidArgumentError
from tcli_server.signature import ModelSignature, TensorSignature

if TYPE_CHECKING:
    import onnx

_DATATYPES = {
    "float": "FP32",
    "float16": "FP16",
    "double": "FP64",
    "bfloat16": "BF16",
    "string": "BYTES",
}


def read_session_signature(path: Path) -> ModelSignature:
    """What ONNX Runtime says that an ONNX file takes and gives: sizes that the file leaves open are inferred if possible.

    Raises:
        ModelFileError: the file is missing or is no ONNX model.
        InvalidArgumentError: ONNX Runtime cannot load it; the message is ONNX Runtime's.
    """
    from tcli_server.backends.onnxruntime.graph import load_outline  # needs the package onnx, as serving does not

    model = load_outline(path)
    options = ort.SessionOptions()  # with all optimisations, as a server has them: folding constants makes sizes known
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own, one a status code
        raise InvalidArgumentError(f"ONNX Runtime cannot load {path}: {plain(error)}") from None
    return session_signature(session, untold(model))


def plain(error: Exception) -> str:
    """ONNX Runtime's message without its status, the file's name and the place in its source code."""
    text = re.sub(
        r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed: ?)?", "", " ".join(str(error).split())
    )
    return re.sub(r"/\S+\.(cc|h):\d+ .*?\) (?=[A-Z])", "", text)


@dataclass(frozen=True, slots=True)
class Untold:
    """What a session does not tell of its graph.

    Attributes:
        unranked: inputs and outputs whose number of dimensions is not known.
        defaults: shapes of the values that inputs have where a request gives none, and of all weights.
    """

    unranked: frozenset[str] = frozenset()
    defaults: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def untold(model: "onnx.ModelProto") -> Untold:
    """See `Untold`; of a file's graph, which nobody needs any more then."""
    graph = model.graph
    return Untold(
        frozenset(
            value.name
            for value in (*graph.input, *graph.output)
            if value.type.WhichOneof("value") == "tensor_type" and not value.type.tensor_type.HasField("shape")
        ),
        {tensor.name: tuple(tensor.dims) for tensor in graph.initializer},
    )


def session_signature(session: ort.InferenceSession, untold: Untold) -> ModelSignature:
    """The signature of a loaded model.

    Args:
        untold: a session reports no dimension both for a scalar and where the rank is not known. Where nothing is known of
            the graph, such a tensor is taken for a scalar, as Triton does.
    """
    return ModelSignature(
        inputs=tuple(_tensor(node, untold.unranked) for node in session.get_inputs()),
        outputs=tuple(_tensor(node, untold.unranked) for node in session.get_outputs()),
        overridable=tuple(
            replace(_tensor(node, untold.unranked), default=untold.defaults.get(node.name))
            for node in session.get_overridable_initializers()
        ),
    )


def _tensor(node: Any, unranked: frozenset[str]) -> TensorSignature:
    kind, _, element = str(node.type).removesuffix(")").partition("(")
    if kind != "tensor":
        return TensorSignature(node.name, "SEQUENCE" if kind == "seq" else kind.upper(), (), rank_known=False)
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)
    rank_known = bool(shape) or node.name not in unranked
    return TensorSignature(node.name, _DATATYPES.get(element, element.upper()), shape, rank_known)
