"""Reads what a SavedModel has, without loading it."""

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.tensorflow.runtime import DecodeError, saved_model_pb2, tf
from tcli_server.datatypes import BY_DTYPE
from tcli_server.file_kind import HEAD_BYTES, mistaken_content
from tcli_server.signature import ModelSignature, TensorSignature

_EXPORT = "save it by tf.saved_model.save(model, folder), or by Keras' model.export(folder)"
_INTERNAL = "__saved_model_"


def not_saved_model(path: Path, found: str, fix: str) -> ModelFileError:
    """The error for what is no SavedModel."""
    return ModelFileError(path, "a SavedModel folder", found, fix)


def read_graph(path: Path, tag: str) -> Any:
    """The graph of a SavedModel that has a tag, as TensorFlow's `MetaGraphDef`.

    Raises:
        ModelFileError: the folder holds no SavedModel, or one without such a graph.
    """
    if not path.is_dir():
        raise not_saved_model(path, "a file", f"put the folder there that holds saved_model.pb, or {_EXPORT}")
    document = path / "saved_model.pb"
    is_text = not document.is_file() and (path / "saved_model.pbtxt").is_file()
    document = path / "saved_model.pbtxt" if is_text else document
    if not document.is_file():
        nested = next((each.parent for each in path.glob("*/saved_model.pb")), None)
        names = ", ".join(sorted(each.name for each in path.iterdir())[:4])
        fix = f"move what is in {nested} to {path}" if nested else _EXPORT
        raise not_saved_model(path, f"a folder without saved_model.pb{f' but with {names}' if names else ''}", fix)
    try:
        content = document.read_bytes()
    except OSError as error:
        raise not_saved_model(document, f"unreadable ({error.strerror})", "put a file there that can be read") from None
    mistaken = mistaken_content(content[:HEAD_BYTES])
    if mistaken is not None:
        raise not_saved_model(document, mistaken, "fetch the file again")
    model = saved_model_pb2.SavedModel()
    try:
        if is_text:
            text_format.Parse(content, model)
        else:
            model.ParseFromString(content)
    except (DecodeError, text_format.ParseError, UnicodeDecodeError):
        found = f"no SavedModel, or a truncated one ({len(content):,} bytes)"
        raise not_saved_model(document, found, f"fetch it again, or {_EXPORT}") from None
    graphs = [graph for graph in model.meta_graphs if tag in graph.meta_info_def.tags]
    if not graphs:
        tags = sorted({tag for graph in model.meta_graphs for tag in graph.meta_info_def.tags})
        there = f"tags {', '.join(tags)}" if tags else "no graph"
        fix = f'write TF_GRAPH_TAG as "{tags[0]}"' if tags else _EXPORT
        raise ModelFileError(path, f"a graph with the tag '{tag}'", f"a SavedModel with {there}", fix)
    return graphs[0]


def choose_signature(path: Path, graph: Any, name: str) -> Any:
    """The signature of that name, as TensorFlow's `SignatureDef`.

    Raises:
        ModelFileError: there is none, or it has no outputs.
    """
    there = sorted(each for each in graph.signature_def if not each.startswith(_INTERNAL))
    if name not in there:
        fix = f'write TF_SIGNATURE_DEF as "{there[0]}"' if there else "save it with signatures={...}"
        found = f"a SavedModel with {', '.join(there) or 'no signatures'}"
        raise ModelFileError(path, f"a signature '{name}'", found, fix)
    signature = graph.signature_def[name]
    if not signature.outputs:
        found = f"a SavedModel whose signature '{name}' has no outputs"
        raise ModelFileError(path, "a signature that answers something", found, "save a function that returns tensors")
    return signature


def model_signature(signature: Any) -> ModelSignature:
    """What it takes and gives, in the order of the names: a SavedModel has no other."""
    takes, gives = (
        tuple(_tensor(name, infos[name]) for name in sorted(infos)) for infos in (signature.inputs, signature.outputs)
    )
    return ModelSignature(takes, gives)


def _tensor(name: str, info: Any) -> TensorSignature:
    if info.WhichOneof("encoding") not in (None, "name"):
        return TensorSignature(name, str(info.WhichOneof("encoding")).upper(), (), rank_known=False)
    shape = tuple(int(dim.size) for dim in info.tensor_shape.dim)
    return TensorSignature(name, _datatype(info.dtype), shape, not info.tensor_shape.unknown_rank)


def _datatype(number: int) -> str:
    try:
        dtype = tf.dtypes.as_dtype(number)
    except TypeError:
        return f"TYPE_{number}"
    if dtype == tf.string:
        return "BYTES"
    try:
        return BY_DTYPE[np.dtype(dtype.as_numpy_dtype)].name
    except (KeyError, AttributeError, TypeError):
        return str(dtype.name).upper()
