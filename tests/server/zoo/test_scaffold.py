"""What `tcli repo init` writes, and what it leaves alone."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_server import Answer, serve_files
from tcli_server.backends.registry import backend
from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.hardware.cores import usable_cores
from tcli_server.models.check import check_repository
from tcli_server.models.placement import complete_instance_groups, placements
from tcli_server.repository import ModelFolder, read_config
from tcli_server.zoo import DownloadError, RemoteFile, scaffold_densenet_onnx, scaffold_efficientnet_lite0


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tcli" / "models"


@pytest.fixture
def nowhere() -> Iterator[RemoteFile]:
    """A published file whose only source refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        yield RemoteFile("densenet-7.onnx", 100, "0" * 64, (f"http://127.0.0.1:{taken.getsockname()[1]}/f",))


@pytest.fixture(scope="session")
def weights(placeholder_file: Path) -> bytes:
    return placeholder_file.read_bytes()


def published(weights: bytes, *urls: str) -> RemoteFile:
    return RemoteFile("densenet-7.onnx", len(weights), hashlib.sha256(weights).hexdigest(), urls)


def test_both_models_are_right_as_written(tmp_path: Path, nowhere: RemoteFile):
    repository = tmp_path / "models"
    trained = scaffold_efficientnet_lite0(repository)
    placeholder = scaffold_densenet_onnx(repository, published=nowhere)
    assert check_repository(repository) == []
    assert trained.written
    assert trained.placeholder is None
    assert placeholder.written
    assert "no connection" in (placeholder.placeholder or "")
    assert sorted(entry.name for entry in repository.iterdir()) == ["densenet_onnx", "efficientnet_lite0"]
    for folder in repository.iterdir():  # a lone request gets all cores
        config = read_config(folder / "config.pbtxt")
        complete_instance_groups(config, backend("onnxruntime"))
        assert [(place.threads, place.gpu) for place in placements(config) if place.gpu is None] == [
            (usable_cores(), None)
        ]
        assert not [key for key in config.parameters if "thread" in key]


def test_efficientnets_configuration(tmp_path: Path):
    scaffold = scaffold_efficientnet_lite0(tmp_path)
    config = read_config(scaffold.path / "config.pbtxt")
    assert config.max_batch_size == 8
    assert config.HasField("dynamic_batching")
    assert config.input[0].format == config.input[0].FORMAT_NCHW
    assert config.parameters["tcli_image_scaling"].string_value == "INCEPTION"
    labels = (scaffold.path / config.output[0].label_filename).read_text().splitlines()
    assert len(labels) == 1000
    assert labels[967] == "espresso"


# The configuration of the walk-through, word for word.
WALK_THROUGH = """
name: "densenet_onnx"
platform: "onnxruntime_onnx"
max_batch_size : 0
input [
  {
    name: "data_0"
    data_type: TYPE_FP32
    format: FORMAT_NCHW
    dims: [ 3, 224, 224 ]
    reshape { shape: [ 1, 3, 224, 224 ] }
  }
]
output [
  {
    name: "fc6_1"
    data_type: TYPE_FP32
    dims: [ 1000 ]
    reshape { shape: [ 1, 1000, 1, 1 ] }
    label_filename: "densenet_labels.txt"
  }
]
"""


def test_densenets_configuration_is_the_walk_throughs(tmp_path: Path, weights: bytes, nowhere: RemoteFile):
    (tmp_path / "config.pbtxt").write_text(WALK_THROUGH)
    expected = read_config(tmp_path / "config.pbtxt")
    with serve_files({"/f": Answer(weights)}) as server:
        real = scaffold_densenet_onnx(tmp_path / "real", published=published(weights, f"{server.url}/f"))
    assert read_config(real.path / "config.pbtxt") == expected
    labels = (real.path / "densenet_labels.txt").read_text().splitlines()
    assert len(labels) == 1000
    assert labels[92] == "BEE EATER"
    stand_in = scaffold_densenet_onnx(tmp_path / "stand_in", published=nowhere)
    marked = read_config(stand_in.path / "config.pbtxt")
    assert marked.parameters.pop("tcli_placeholder").string_value == "random weights"
    assert marked == expected
    assert (stand_in.path / "PLACEHOLDER").is_file()


def test_the_download_is_used_and_kept(tmp_path: Path, weights: bytes, own_cache: Path):
    with serve_files({"/f": Answer(weights)}) as server:
        file = published(weights, f"{server.url}/f")
        first = scaffold_densenet_onnx(tmp_path / "one", published=file)
        second = scaffold_densenet_onnx(tmp_path / "two", published=file)
        assert len(server.asked) == 1
    assert first.placeholder is None
    assert "cache" in second.origin
    for scaffold in (first, second):
        assert (scaffold.path / "1" / "model.onnx").read_bytes() == weights
        assert not (scaffold.path / "PLACEHOLDER").exists()
    assert (own_cache / "densenet-7.onnx").read_bytes() == weights


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, weights: bytes, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with serve_files({"/f": Answer(weights)}) as server:
        scaffold = scaffold_densenet_onnx(tmp_path / "models", published=published(weights, f"{server.url}/f"))
    assert scaffold.placeholder is None


def test_a_source_is_a_file_or_a_url(tmp_path: Path, weights: bytes):
    file = tmp_path / "mine.onnx"
    file.write_bytes(weights)
    assert scaffold_densenet_onnx(tmp_path / "one", source=str(file), published=published(weights)).placeholder is None
    with serve_files({"/f": Answer(weights)}) as server:
        scaffold_densenet_onnx(tmp_path / "two", source=f"{server.url}/f", published=published(weights))
    assert (tmp_path / "two" / "densenet_onnx" / "1" / "model.onnx").read_bytes() == weights


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\nsize 32719461\n", "Git LFS pointer"),
        (b"<html>", "HTML page"),
        (b"\x08\x03short", "7 bytes instead of"),
        (None, "No such file"),
    ],
)
def test_a_wrong_source_is_an_error_and_never_a_placeholder(
    tmp_path: Path, weights: bytes, content: bytes | None, reason: str
):
    file = tmp_path / "mine.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=reason):
        scaffold_densenet_onnx(tmp_path / "models", source=str(file), published=published(weights))
    assert not (tmp_path / "models").exists()


def test_a_source_that_is_dead_is_an_error(tmp_path: Path, nowhere: RemoteFile):
    with pytest.raises(DownloadError):
        scaffold_densenet_onnx(tmp_path / "models", source=nowhere.urls[0], published=nowhere)


def test_what_exists_is_left_alone_without_force(tmp_path: Path, nowhere: RemoteFile):
    first = scaffold_densenet_onnx(tmp_path, published=nowhere)
    config = first.path / "config.pbtxt"
    config.write_text("# mine\n" + config.read_text())
    again = scaffold_densenet_onnx(tmp_path, published=nowhere)
    assert not again.written
    assert again.placeholder is not None
    assert config.read_text().startswith("# mine")
    assert scaffold_densenet_onnx(tmp_path, force=True, published=nowhere).written
    assert not config.read_text().startswith("# mine")


def test_force_without_a_network_keeps_real_weights(tmp_path: Path, weights: bytes):
    file = tmp_path / "mine.onnx"
    file.write_bytes(weights)
    scaffold_densenet_onnx(tmp_path, source=str(file), published=published(weights))
    again = scaffold_densenet_onnx(tmp_path, force=True, published=published(weights, "http://127.0.0.1:1/f"))
    assert again.written
    assert again.placeholder is None


def test_half_a_model_in_the_way_is_named(tmp_path: Path):
    (tmp_path / "efficientnet_lite0" / "1").mkdir(parents=True)
    with pytest.raises(AlreadyExistsError, match=r"config\.pbtxt and 1/model\.onnx missing"):
        scaffold_efficientnet_lite0(tmp_path)
    assert ModelFolder("efficientnet_lite0", tmp_path / "efficientnet_lite0").versions() == [1]
