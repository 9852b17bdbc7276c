"""Temporary folders: gone when nobody needs them, also those of a process that was killed, and never anybody else's."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcli_server import temporary

pytestmark = pytest.mark.skipif(temporary.fcntl is None, reason="nothing is locked here")

HOLDER = """
import os, sys
from tcli_server.temporary import discard_folder, new_folder
folder = new_folder()
(folder / "file").write_text("content")
print(folder, flush=True)
for order in sys.stdin:
    if order == "discard\\n":
        discard_folder(folder)
        print("done", flush=True)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made in this test, here and in the processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary._Own, "folder", None)
    return tmp_path


class Process:
    """Another process with one folder."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.folder = Path(self.process.stdout.readline().strip())

    def discard(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("discard\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self, by: signal.Signals | None = None) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if by is not None:
            self.process.send_signal(by)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


@pytest.fixture
def other(place: Path) -> Iterator[Process]:
    process = Process()
    assert process.folder.parent.parent == place
    yield process
    process.end()


def test_a_folder_in_use_stays_and_one_of_a_killed_process_goes(place: Path, other: Process):
    temporary.remove_abandoned_folders()
    assert (other.folder / "file").read_text() == "content"
    other.end(signal.SIGKILL)
    assert other.folder.exists(), "nobody could clean up"
    temporary.remove_abandoned_folders()
    assert list(place.iterdir()) == []


def test_a_process_that_ends_leaves_nothing(place: Path, other: Process):
    other.end()
    assert list(place.iterdir()) == []


def test_the_last_folder_takes_the_process_own_with_it(place: Path, other: Process):
    other.discard()
    assert list(place.iterdir()) == []


def test_what_is_not_surely_ours_stays(place: Path, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "lock").touch()
    (place / "tcli-models-link").symlink_to(elsewhere)
    (place / "tcli-models-without-lock").mkdir()
    (place / "tcli-models-file").touch()
    linked = place / "tcli-models-linked-lock"
    linked.mkdir()
    (linked / "lock").symlink_to(elsewhere / "lock")
    stranger = place / "models-of-somebody"
    stranger.mkdir()
    (stranger / "lock").touch()
    before = sorted(place.rglob("*"))
    temporary.remove_abandoned_folders()
    assert sorted(place.rglob("*")) == before
    assert (elsewhere / "lock").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give folders away")
def test_what_another_user_left_stays(place: Path):
    left = place / "tcli-models-theirs"
    left.mkdir()
    (left / "lock").touch()
    os.chown(left, 12345, 12345)
    temporary.remove_abandoned_folders()
    assert left.exists()


def test_folders_are_apart_and_go_one_by_one(place: Path):
    first, second = temporary.new_folder(), temporary.new_folder()
    assert first.parent == second.parent
    assert first != second
    temporary.discard_folder(first)
    assert not first.exists()
    assert second.is_dir()
    third = temporary.new_folder()
    assert third.parent == second.parent
    temporary.remove_abandoned_folders()
    assert third.is_dir(), "our own are in use"
    temporary.discard_folder(second)
    temporary.discard_folder(third)
    assert list(place.iterdir()) == []
    again = temporary.new_folder()
    assert again.is_dir()
    temporary.remove_own_folders()
    assert list(place.iterdir()) == []


def test_a_forked_child_leaves_its_parents_folders_alone(place: Path):
    folder = temporary.new_folder()
    child = os.fork()
    if not child:
        temporary.discard_folder(folder)
        temporary.remove_own_folders()
        own = temporary.new_folder()
        apart = own.parent != folder.parent
        temporary.discard_folder(own)
        os._exit(0 if apart and not own.exists() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert folder.is_dir()
    temporary.discard_folder(folder)
    assert list(place.iterdir()) == []


def test_a_folder_that_somebody_deleted_is_made_again(place: Path):
    first = temporary.new_folder()
    for path in sorted(first.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    first.parent.rmdir()
    second = temporary.new_folder()
    assert second.is_dir()
    temporary.discard_folder(second)
    assert list(place.iterdir()) == []


def test_a_place_that_cannot_be_read_is_left_alone(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place / "nowhere"))
    temporary.remove_abandoned_folders()
