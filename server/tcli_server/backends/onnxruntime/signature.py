"""What a session takes and gives: the shapes that ONNX Runtime infers, by which Triton judges a configuration too."""

from typing import Any

import onnx
import onnxruntime as ort

from tcli_server.signature import ModelSignature, TensorSignature

_DATATYPES = {
    "float": "FP32",
    "float16": "FP16",
    "double": "FP64",
    "bfloat16": "BF16",
    "string": "BYTES",
}


def session_signature(session: ort.InferenceSession, model: onnx.ModelProto) -> ModelSignature:
    """The signature of a loaded model.

    Args:
        model: the file's graph: a session reports no dimension both for a scalar and where the rank is not known.
    """
    unknown = {
        value.name
        for value in (*model.graph.input, *model.graph.output)
        if value.type.WhichOneof("value") == "tensor_type" and not value.type.tensor_type.HasField("shape")
    }
    return ModelSignature(
        inputs=tuple(_tensor(node, unknown) for node in session.get_inputs()),
        outputs=tuple(_tensor(node, unknown) for node in session.get_outputs()),
        overridable=tuple(_tensor(node, unknown) for node in session.get_overridable_initializers()),
    )


def _tensor(node: Any, unknown: set[str]) -> TensorSignature:
    kind, _, element = str(node.type).removesuffix(")").partition("(")
    if kind != "tensor":
        return TensorSignature(node.name, "SEQUENCE" if kind == "seq" else kind.upper(), (), rank_known=False)
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)
    rank_known = bool(shape) or node.name not in unknown
    return TensorSignature(node.name, _DATATYPES.get(element, element.upper()), shape, rank_known)
