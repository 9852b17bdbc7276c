"""Folders that results cannot be written to: told before anything is measured, and what is in the way."""

import sys
from pathlib import Path

import pytest
import typer

from triton_cli.results_folder import ready_folder


def said(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    with pytest.raises(typer.Exit) as ended:
        ready_folder(folder)
    assert ended.value.exit_code == 1
    return " ".join(capsys.readouterr().err.split())


def test_it_is_made_and_nothing_is_left_in_it(tmp_path):
    for _ in range(2):
        ready_folder(tmp_path / "new" / "out")
        assert not list((tmp_path / "new" / "out").iterdir())


def test_what_is_in_the_way_is_named(tmp_path, capsys):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    assert f"cannot write to {file}: it is a file" in said(capsys, file)
    assert f"cannot write to {file / 'out'}: {file} is a file" in said(capsys, file / "out")
    assert f"cannot write to {link}: it is a link to nothing" in said(capsys, link)
    assert f"{link} is a link to nothing fix: choose another folder with --output" in said(capsys, link / "a" / "b")
    assert file.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that nobody can write to")
def test_one_that_is_there_and_cannot_be_written(capsys):
    assert "cannot write to /proc: " in said(capsys, Path("/proc"))


def test_a_link_to_a_folder_will_do(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there", target_is_directory=True)
    ready_folder(tmp_path / "link")
