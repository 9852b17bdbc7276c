"""Model folders, versions, version policies, labels, and writing a folder in one step."""

import os
import socket
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelVersionPolicy

from tcli_server.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, UnsupportedError
from tcli_server.repository import ModelFolder, choose_versions, model_folders, read_labels
from tcli_server.repository.entries import entries, is_file, is_folder, is_there
from tcli_server.repository.layout import find_model
from tcli_server.repository.staging import staged_folder
from tcli_server.repository.text_file import UnreadableFileError, not_a_file, read_bytes


def test_versions_are_the_folders_that_triton_takes(tmp_path: Path):
    for name in ("1", "2", "10", "01", "0", "v3", "warmup", "configs", "initial_state", "4abc", ".5"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    folder = ModelFolder("m", tmp_path)
    assert folder.versions() == [0, 1, 2, 4, 10]
    assert folder.version_path(4) == tmp_path / "4abc"
    assert folder.version_path(99) == tmp_path / "99"


def test_models_are_the_folders_that_are_not_hidden(tmp_path: Path):
    for name in ("one/b", "one/a", "one/.a.tmp", "two/a"):
        (tmp_path / name).mkdir(parents=True)
    models = model_folders([tmp_path / "one", tmp_path / "two"])
    assert {name: len(folders) for name, folders in models.items()} == {"a": 2, "b": 1}


def test_a_folder_of_digits_alone_is_its_version(tmp_path: Path):
    for name in ("1abc", "1", "2b", "2a", "00", "10x"):
        (tmp_path / name).mkdir()
    assert ModelFolder("m", tmp_path).version_folders() == {
        1: tmp_path / "1",
        2: tmp_path / "2a",
        10: tmp_path / "10x",
    }


def test_a_configuration_that_leads_nowhere_is_there(tmp_path: Path):
    folder = ModelFolder("m", tmp_path)
    assert not folder.has_config
    folder.config_path.symlink_to("nowhere")
    assert folder.has_config


def test_one_model_is_found_as_all_are(tmp_path: Path):
    for name in (b"one/b", b"one/.a", b"two/b", b"two/a", b"one/\xff"):
        (tmp_path / os.fsdecode(name)).mkdir(parents=True)
    (tmp_path / "one" / "a").write_text("")
    repositories = [tmp_path / "one", tmp_path / "two"]
    models = model_folders(repositories)
    assert list(models) == ["b", "a"]
    assert [folder.path for folder in models["b"]] == [tmp_path / "one" / "b", tmp_path / "two" / "b"]
    for name in ("a", "b"):
        assert find_model(repositories, name) == models[name]
    for name in (".a", os.fsdecode(b"\xff"), "c"):
        assert find_model(repositories, name) == []


def test_what_is_asked_about_entries_never_raises(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_text("")
    (tmp_path / "c").symlink_to("nowhere")
    assert [entry.name for entry in entries(tmp_path)] == ["a", "b", "c"]
    asked = {name: (is_file(tmp_path / name), is_folder(tmp_path / name), is_there(tmp_path / name)) for name in "abcd"}
    assert asked == {
        "a": (True, False, True),
        "b": (False, True, True),
        "c": (False, False, True),
        "d": (False, False, False),
    }
    for path in (tmp_path / "d", tmp_path / "a", tmp_path / ("n" * 300), tmp_path / "a\0b"):
        assert entries(path) == []
    assert not is_file(tmp_path / ("n" * 300))
    assert not is_folder(tmp_path / ("n" * 300))


def test_a_file_is_read_up_to_what_is_allowed(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(UnreadableFileError, match=r"^a file of 5 bytes, more than 4$"):
        read_bytes(path, 4)
    assert not_a_file(path) is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="files that do not tell their size are Linux's")
def test_a_file_that_does_not_tell_its_size_is_not_read_to_its_end():
    with pytest.raises(UnreadableFileError, match=r"^more than 10 bytes$"):
        read_bytes(Path("/proc/self/status"), 10)


def test_what_is_no_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # the address of a socket is of few bytes
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert not_a_file(tmp_path / "socket") == "a socket"
    assert not_a_file(tmp_path / "folder") == "a folder"
    assert not_a_file(tmp_path / "nope") == not_a_file(tmp_path / "socket" / "x") == "missing"
    assert "symbolic links" in str(not_a_file(tmp_path / "loop"))
    assert str(not_a_file(tmp_path / "a\0b")).startswith("not to be reached (")


def test_a_repository_that_is_not_there_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFoundError, match="does not exist"):
        model_folders([tmp_path / "nope"])
    with pytest.raises(NotFoundError, match="is a file"):
        model_folders([tmp_path / "file"])
    with pytest.raises(UnsupportedError, match="object storage"):
        model_folders(["s3://bucket/models"])


def test_what_vanishes_or_cannot_be_read_is_told(tmp_path: Path):
    gone = ModelFolder("gone", tmp_path / "gone")
    for ask in (gone.versions, gone.version_folders, lambda: gone.version_path(1)):
        with pytest.raises(NotFoundError, match=r"gone.*cannot be read: No such file"):
            ask()
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFoundError, match="Not a directory"):
        ModelFolder("file", tmp_path / "file").versions()


def test_a_version_link_to_nowhere_is_no_version(tmp_path: Path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").symlink_to(tmp_path / "gone")
    (tmp_path / "3").symlink_to(tmp_path / "3")
    assert ModelFolder("m", tmp_path).versions() == [1]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_told(tmp_path: Path):
    locked = tmp_path / "lost+found"
    locked.mkdir(mode=0)
    assert list(model_folders([tmp_path])) == ["lost+found"]
    with pytest.raises(NotFoundError, match="Permission denied"):
        ModelFolder("lost+found", locked).versions()
    with pytest.raises(NotFoundError, match="Permission denied"):
        model_folders([locked])


@pytest.mark.parametrize("name", ["n" * 300, "a\0b"])
def test_a_repository_with_an_impossible_name_is_told(name: str):
    with pytest.raises(NotFoundError, match="cannot be read"):
        model_folders([name])


def test_a_version_has_63_bits_at_most(tmp_path: Path):
    for name in (str(2**63 - 1), str(2**63)):
        (tmp_path / name).mkdir()
    assert ModelFolder("m", tmp_path).versions() == [2**63 - 1]


def test_versions_are_ordered_as_numbers(tmp_path: Path):
    for name in ("10", "9", "100", "11", "2"):
        (tmp_path / name).mkdir()
    folder = ModelFolder("m", tmp_path)
    assert folder.versions() == [2, 9, 10, 11, 100]
    assert choose_versions(ModelVersionPolicy(), folder.versions()) == [100]
    assert choose_versions(text_format.Parse("latest { num_versions: 1 }", ModelVersionPolicy()), [10, 9]) == [10]
    assert choose_versions(text_format.Parse("specific { versions: [ 10, 9 ] }", ModelVersionPolicy()), [9, 10]) == [
        9,
        10,
    ]


def test_more_latest_versions_than_there_are(tmp_path: Path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    policy = text_format.Parse("latest { num_versions: 3 }", ModelVersionPolicy())
    assert choose_versions(policy, ModelFolder("m", tmp_path).versions()) == [1, 2]


@pytest.mark.parametrize("name", ["²", "١", "9223372036854775808", "9" * 200, "-1", "+1"])
def test_a_folder_that_only_looks_like_a_number_is_no_version(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    assert ModelFolder("m", tmp_path).versions() == []


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", [4]),
        ("latest { num_versions: 1 }", [4]),
        ("latest { num_versions: 2 }", [3, 4]),
        ("latest { num_versions: 9 }", [1, 3, 4]),
        ("latest { num_versions: 0 }", []),
        ("all { }", [1, 3, 4]),
        ("specific { versions: [ 4, 1, 7 ] }", [1, 4]),
        ("specific { versions: 7 }", []),
    ],
)
def test_a_version_policy_chooses(policy: str, chosen: list[int]):
    assert choose_versions(text_format.Parse(policy, ModelVersionPolicy()), [4, 1, 3]) == chosen


def test_labels_are_lines(tmp_path: Path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffgrün\r\n\r\nbee eater, bird \n\n".encode())
    assert read_labels(path) == ["grün", "", "bee eater, bird"]
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        read_labels(path)
    with pytest.raises(InvalidArgumentError, match="No such file"):
        read_labels(tmp_path / "nope.txt")


def test_a_label_file_without_end_is_not_read(tmp_path: Path):
    path = tmp_path / "labels.txt"
    path.write_text("\n")
    assert read_labels(path) == []
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(InvalidArgumentError, match="more than 67108864"):
        read_labels(path)


def test_a_label_file_that_is_no_file_is_told_without_waiting_for_it(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    devices = [(Path("/dev/zero"), "a device")] if Path("/dev/zero").exists() else []
    for path, what in ((tmp_path / "pipe", "a named pipe"), (tmp_path / "folder", "a folder"), *devices):
        with pytest.raises(InvalidArgumentError, match=what):
            read_labels(path)
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        read_labels(tmp_path / ("n" * 300))
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        read_labels(tmp_path / "a\0b")


def test_a_folder_appears_whole(tmp_path: Path):
    target = tmp_path / "repository" / "model"
    with staged_folder(target) as folder:
        (folder / "config.pbtxt").write_text("x")
        assert not target.exists()
        assert model_folders([target.parent]) == {}
    assert (target / "config.pbtxt").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_nothing_and_changes_nothing(tmp_path: Path, error: type[BaseException]):
    target = tmp_path / "model"

    def write_half(force: bool) -> None:
        with staged_folder(target, force) as folder:
            (folder / "half").write_text("x")
            raise error

    with pytest.raises(error):
        write_half(force=False)
    assert list(tmp_path.iterdir()) == []
    target.mkdir()
    (target / "mine").write_text("x")
    with pytest.raises(error):
        write_half(force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    assert [entry.name for entry in target.iterdir()] == ["mine"]


def test_nothing_is_overwritten_without_force(tmp_path: Path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "mine").write_text("x")
    with pytest.raises(AlreadyExistsError), staged_folder(target):
        pytest.fail("the block must not run")
    with staged_folder(target, force=True) as folder:
        (folder / "new").write_text("x")
    assert [entry.name for entry in target.iterdir()] == ["new"]


def test_with_force_nothing_needs_to_be_there(tmp_path: Path):
    target = tmp_path / "far" / "away" / "model"
    with staged_folder(target, force=True) as folder:
        assert folder.parent.name.startswith(".model.")
        assert folder.parent.name.endswith(".tmp")
        (folder / "new").write_text("x")
    assert [entry.name for entry in target.iterdir()] == ["new"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("is_there", [True, False])
def test_what_cannot_be_put_in_place_changes_nothing(tmp_path: Path, is_there: bool):
    target = tmp_path / "model"
    if is_there:
        target.mkdir()
        (target / "mine").write_text("x")

    def write_nothing() -> None:
        with staged_folder(target, force=True) as folder:
            folder.rmdir()

    with pytest.raises(FileNotFoundError):
        write_nothing()
    assert [entry.name for entry in tmp_path.iterdir()] == (["model"] if is_there else [])
    assert not is_there or (target / "mine").exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    told = pytest.raises(InvalidArgumentError, match=r"cannot write into .*/file/folder: Not a directory")
    with told, staged_folder(tmp_path / "file" / "folder" / "model"):
        pytest.fail("the block must not run")


def test_somebody_faster_wins(tmp_path: Path):
    target = tmp_path / "model"

    def write_too_late() -> None:
        with staged_folder(target):
            target.mkdir()
            (target / "theirs").write_text("x")

    with pytest.raises(AlreadyExistsError):
        write_too_late()
    assert [entry.name for entry in target.iterdir()] == ["theirs"]
    assert list(tmp_path.iterdir()) == [target]
