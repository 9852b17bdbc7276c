"""Where the loaded version of the model lies."""

from __future__ import annotations

_model_dir = ""


def get_model_dir() -> str:
    """The folder of the loaded version; its files are not always beside the Python code, see Python-based backends."""
    return _model_dir


def set_model_dir(path: str) -> None:
    """Say it, once, before the model's code runs."""
    global _model_dir
    _model_dir = path
