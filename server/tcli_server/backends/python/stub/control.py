"""Loading, unloading and asking after other models."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping

from .errors import TritonModelException
from .link import server
from .texts import text_of

_FILE_PREFIX = "file:"
_PIECE = 1 << 20
"""Bytes of a file in one message, so that others get their turn in between."""

_uploads = itertools.count(1)


def load_model(model_name: str, config: str = "", files: dict[str, bytes] | None = None) -> None:
    """Load a model, or load it anew, and wait until it is loaded.

    Args:
        config: JSON text in place of the configuration file.
        files: contents by `file:<path>` (`file:1/model.onnx`) in place of the model's folder; they need `config`.

    Raises:
        TypeError: the name or the configuration is no text.
        TritonModelException: the files are not such, or what the server says.
    """
    model_name, config = text_of("model_name", model_name), text_of("config", config)
    contents = _checked(model_name, files)
    body: dict[str, object] = {"name": model_name, "config": config or None, "upload": None}
    link = server()
    if model_name == link.loading:
        raise TritonModelException(
            f"Failed to load model: '{model_name}' is being loaded, and would wait for itself for ever. A model can load itself "
            "in 'execute', not before"
        )
    if contents:
        upload = body["upload"] = next(_uploads)
        try:
            for path, content in contents.items():
                for start in range(0, max(1, len(content)), _PIECE):
                    piece = base64.b64encode(content[start : start + _PIECE]).decode()
                    link.ask("load_file", {"upload": upload, "path": path, "data": piece})
        except BaseException:
            link.tell("load_dropped", {"upload": upload})
            raise
    _ask("load_model", body, "Failed to load model")


def unload_model(model_name: str, unload_dependents: bool = False) -> None:
    """Take a model out of service; returns before that is done.

    Raises:
        TypeError: the name is no text.
        TritonModelException: what the server says against it.
    """
    body = {"name": text_of("model_name", model_name), "unload_dependents": bool(unload_dependents)}
    _ask("unload_model", body, "Failed to unload model")


def is_model_ready(model_name: str, model_version: str = "") -> bool:
    """Whether a model, or that version of it, answers requests now.

    Raises:
        TypeError: an argument is no text.
        TritonModelException: the version is no number.
    """
    body = {"name": text_of("model_name", model_name), "version": text_of("model_version", model_version)}
    return bool(_ask("model_ready", body, "Failed to check model readiness")["ready"])


def _ask(kind: str, body: Mapping[str, object], failure: str) -> dict[str, object]:
    try:
        return server().ask(kind, dict(body))
    except TritonModelException as error:
        raise TritonModelException(f"{failure}: {error}") from None


def _checked(model_name: str, files: dict[str, bytes] | None) -> dict[str, memoryview]:
    if files is None:
        return {}
    if not isinstance(files, dict):
        raise TritonModelException(
            f"failed to load model '{model_name}', files should be a dictionary of file paths and file contents, found "
            f"{type(files).__name__}"
        )
    contents: dict[str, memoryview] = {}
    for path, content in files.items():
        if not isinstance(path, str) or not path.startswith(_FILE_PREFIX):
            raise TritonModelException(
                f"failed to load model '{model_name}', files: expected keys such as 'file:1/model.onnx', found {path!r}"
            )
        try:
            contents[path[len(_FILE_PREFIX) :]] = memoryview(content).cast("B")
        except TypeError:
            raise TritonModelException(
                f"failed to load model '{model_name}', files: expected bytes for '{path}', found {type(content).__name__}"
            ) from None
    return contents
