"""`--apply` changes the repository only as it says, and loses nothing."""

from pathlib import Path

import pytest

from analysis_runs import CONFIG, write_fixed_model
from small_files import small_files
from tcli_analyzer.apply import apply_recommendation
from tcli_server.repository import ModelFolder


def test_the_old_configuration_stays_beside_the_new_one(tmp_path):
    folder = ModelFolder("fixed", write_fixed_model(tmp_path) / "fixed")
    changes = apply_recommendation(folder, "max_batch_size: 0\n", None)
    assert folder.config_path.read_text() == "max_batch_size: 0\n"
    assert (folder.path / "config.pbtxt.bak").read_text() == CONFIG
    assert len(changes) == 2
    apply_recommendation(folder, "max_batch_size: 1\n", None)
    assert (folder.path / "config.pbtxt.bak").read_text() == CONFIG
    assert (folder.path / "config.pbtxt.bak2").read_text() == "max_batch_size: 0\n"


def test_a_new_model_file_becomes_the_next_version(tmp_path):
    folder = ModelFolder("fixed", write_fixed_model(tmp_path / "models") / "fixed")
    old = (folder.path / "1" / "model.onnx").read_bytes()
    new = tmp_path / "new"
    new.mkdir()
    (new / "model.onnx").write_bytes(b"new")
    changes = apply_recommendation(folder, "", new)
    assert folder.versions() == [1, 2]
    assert (folder.path / "1" / "model.onnx").read_bytes() == old
    assert (folder.path / "2" / "model.onnx").read_bytes() == b"new"
    assert any(str(folder.path / "2") in change for change in changes)
    assert not [path for path in folder.path.iterdir() if path.name.startswith(".")]


def test_what_cannot_be_applied_whole_leaves_nothing(tmp_path):
    folder = ModelFolder("fixed", write_fixed_model(tmp_path / "models") / "fixed")
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    new = tmp_path / "new"
    new.mkdir()
    (new / "model.onnx").write_bytes(b"new")

    with (
        small_files(4096),
        pytest.raises(OSError, match="too large"),
    ):  # the version fits, and the configuration does not
        apply_recommendation(folder, "# a comment\n" * 1000, new)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    assert folder.versions() == [1]


def test_who_could_read_the_configuration_still_can(tmp_path):
    folder = ModelFolder("fixed", write_fixed_model(tmp_path) / "fixed")
    folder.config_path.chmod(0o664)
    apply_recommendation(folder, "max_batch_size: 0\n", None)
    assert folder.config_path.stat().st_mode & 0o777 == 0o664


def test_a_model_without_a_configuration_gets_one(tmp_path: Path):
    folder = ModelFolder("fixed", write_fixed_model(tmp_path) / "fixed")
    folder.config_path.unlink()
    assert len(apply_recommendation(folder, "max_batch_size: 0\n", None)) == 1
    assert folder.config_path.exists()


def test_the_version_after_10_is_11(tmp_path):
    folder = ModelFolder("fixed", write_fixed_model(tmp_path / "models") / "fixed")
    (folder.path / "1").rename(folder.path / "9")
    (folder.path / "10").mkdir()
    new = tmp_path / "new"
    new.mkdir()
    (new / "model.onnx").write_bytes(b"new")
    apply_recommendation(folder, "", new)
    assert folder.versions() == [9, 10, 11]
