"""What is wrong with a folder is a reason in the index and a problem of the check, never a traceback."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import onnx_models
from broken_models import BROKEN
from repositories import write_model
from tcli_server import Engine
from tcli_server.models.check import check_repository
from tcli_server.models.overview import model_overviews


@pytest.mark.parametrize("spoil", [
    pytest.param(spoil, id=name) for name, spoil in BROKEN.items() if name != "unreadable"
])  # fmt: skip
def test_it_is_told_and_the_rest_works(tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture):
    write_model(tmp_path, "good", onnx_models.identity())
    spoil(tmp_path)
    assert check_repository(tmp_path)
    assert "good" in [overview.name for overview in model_overviews(tmp_path)]
    with caplog.at_level(logging.INFO, "tcli_server"), Engine(tmp_path) as engine:
        assert engine.model_ready("good")
        for entry in engine.repository_index().models:
            assert (entry.state, bool(entry.reason)) in {("READY", False), ("UNAVAILABLE", True)}
    assert not [record for record in caplog.records if record.exc_info]


def test_a_folder_that_vanishes_while_it_is_looked_at(tmp_path: Path):
    write_model(tmp_path, "good", onnx_models.identity())
    with Engine(tmp_path) as engine:
        (tmp_path / "good").rename(tmp_path / ".good")
        assert [(entry.name, entry.state) for entry in engine.repository_index().models] == [("good", "READY")]
