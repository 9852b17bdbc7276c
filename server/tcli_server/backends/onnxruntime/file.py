"""An ONNX file before anybody reads its graph, and what is said of one that is none."""

import threading
from functools import cache
from pathlib import Path

from tcli_server.backends.model_file import ModelFileError
from tcli_server.file_kind import HEAD_BYTES, mistaken_content
from tcli_server.observability.log import LOG

_IMPORTING = threading.Lock()
"""Models load in several threads, and an import that fails in one of them can end with a KeyError in another."""


def not_onnx(path: Path, found: str, fix: str) -> ModelFileError:
    """The error for a file that is no ONNX model."""
    return ModelFileError(path, "an ONNX model", found, fix)


def check_content(path: Path) -> None:
    """Whether a file can be read, and is nothing that is often found in the place of a model.

    Raises:
        ModelFileError: it is not so; says what it is instead.
    """
    try:
        with path.open("rb") as file:
            mistaken = mistaken_content(file.read(HEAD_BYTES))
    except OSError as error:
        raise not_onnx(path, f"unreadable ({error.strerror})", "put a file there that can be read") from None
    if mistaken is not None:
        raise not_onnx(path, mistaken, "fetch the file again")


def reads_graphs() -> bool:
    """Whether the package `onnx` is here. Without it ONNX Runtime alone says what a model takes and gives."""
    with _IMPORTING:
        return _imports_onnx()


@cache
def _imports_onnx() -> bool:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        LOG.info("ONNX graphs are not looked into, as the package onnx cannot be imported: %s", error)
        return False
    return True
