"""Model folders, versions, version policies, labels, and writing a folder in one step."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelVersionPolicy

from tcli_server.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, UnsupportedError
from tcli_server.repository import ModelFolder, choose_versions, model_folders, read_labels
from tcli_server.repository.staging import staged_folder


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


def test_a_repository_that_is_not_there_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFoundError, match="does not exist"):
        model_folders([tmp_path / "nope"])
    with pytest.raises(NotFoundError, match="is a file"):
        model_folders([tmp_path / "file"])
    with pytest.raises(UnsupportedError, match="object storage"):
        model_folders(["s3://bucket/models"])


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
