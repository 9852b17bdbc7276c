"""Model folders that appear whole or not at all, also when whoever writes them is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tcli_server.errors import AlreadyExistsError
from tcli_server.repository.staging import staged_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked there")

_WRITING = """
import os, signal, sys
from pathlib import Path
from tcli_server.repository import staging

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

with staging.staged_folder(Path(sys.argv[1]), force=True) as folder:
    (folder / "half").write_text("half")
    if sys.argv[2] == "while it writes":
        die()
    Path.rename, rename = lambda self, to: rename(self, to) if self.name != "new" else die(), Path.rename
"""


def write(target: Path, text: str, force: bool = False) -> None:
    with staged_folder(target, force) as folder:
        (folder / "file").write_text(text)


def killed(target: Path, when: str) -> None:
    ended = subprocess.run([sys.executable, "-c", _WRITING, str(target), when], check=False)
    assert ended.returncode == -9


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path):
    killed(tmp_path / "m", "while it writes")
    (stage,) = tmp_path.iterdir()
    assert stage.name.startswith(".m.")
    write(tmp_path / "m.x", "another model's")
    assert stage.exists()
    write(tmp_path / "m", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.x"]


def test_a_model_that_was_put_aside_comes_back(tmp_path: Path):
    write(tmp_path / "m", "old")
    killed(tmp_path / "m", "while the old one is aside")
    assert not (tmp_path / "m").exists()
    with pytest.raises(AlreadyExistsError):
        write(tmp_path / "m", "new")
    assert (tmp_path / "m" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_another_one_writes_stays(tmp_path: Path):
    with staged_folder(tmp_path / "m") as first:
        write(tmp_path / "m", "second")
        (first / "file").write_text("first")
        assert (tmp_path / "m" / "file").read_text() == "second"
        with pytest.raises(AlreadyExistsError), staged_folder(tmp_path / "m", force=False):
            pass
        (tmp_path / "m" / "file").unlink()
        (tmp_path / "m").rmdir()
    assert (tmp_path / "m" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
