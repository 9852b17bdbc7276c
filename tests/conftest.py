"""Fixtures that several rooms share."""

from pathlib import Path

import pytest

from repositories import write_standard_models


@pytest.fixture(scope="session")
def standard_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with small models of every kind; read only."""
    return write_standard_models(tmp_path_factory.mktemp("standard") / "models")
