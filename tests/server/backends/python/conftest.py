"""An engine, and this process as a worker of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tcli_server.backends.python.services import Services
from tcli_server.backends.python.stub import link
from tcli_server.engine import Engine
from tcli_server.options import EngineOptions
from worker_wire import Wire


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine of an empty repository, whose models are loaded by who asks."""
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as running:
        yield running


@pytest.fixture
def wire(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """The wire between this process as a worker of the model `words` and the engine."""
    wire = Wire(Services("words", engine))
    monkeypatch.setattr(link, "_link", wire)
    return wire
