"""Engines for the tests of loading and unloading."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import onnx_models
from repositories import write_model
from tcli_server import Engine, EngineOptions


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With one model, `add_sub`, of 16 floats."""
    write_model(tmp_path, "add_sub", onnx_models.add_sub())
    return tmp_path


@pytest.fixture
def engine(repository: Path) -> Iterator[Engine]:
    """Of `repository`, with nothing loaded."""
    with Engine(repository, options=EngineOptions(model_control_mode="explicit")) as running:
        yield running
