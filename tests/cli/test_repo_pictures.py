"""`tcli repo init --ensemble`, `repo add-pictures` and `infer --bytes`, as a user runs them."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import forked_command
from image_models import pictures
from serve_command import Serving, serving
from tcli_client import Inference, Output, connect
from tcli_server.zoo import scaffold_efficientnet_lite0, scaffold_pictures

COFFEE = Path(__file__).parents[2] / "examples" / "images" / "coffee.jpg"


def tcli(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return forked_command.run(*arguments, environment={**os.environ, **variables})


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model and what takes pictures in front of it; read only."""
    folder = tmp_path_factory.mktemp("pictures") / "models"
    scaffold_efficientnet_lite0(folder)
    scaffold_pictures(folder, "efficientnet_lite0")
    return folder


@pytest.fixture(scope="module")
def running(repository: Path) -> Iterator[Serving]:
    with serving("--model-repository", repository) as server:
        yield server


def test_curl_gets_an_answer(running: Serving):
    """`curl --data-binary @coffee.jpg -H 'Inference-Header-Content-Length: 0' .../infer`"""
    url = f"http://{running.url('HTTP')}/v2/models/efficientnet_lite0_pictures/infer"
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/x-www-form-urlencoded"}
    answer = httpx.post(url, content=COFFEE.read_bytes(), headers=headers)
    assert answer.status_code == 200
    size = int(answer.headers["Inference-Header-Content-Length"])
    scores = np.frombuffer(answer.content[size:], np.float32)
    assert (scores.size, scores.argmax()) == (1000, 967)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_with_classification_it_answers_labels(running: Serving, protocol: str):
    port = running.ports["HTTP" if protocol == "http" else "gRPC"]
    with connect(f"{protocol}://127.0.0.1:{port}") as server:
        wanted = [Output("probabilities", 1)]
        inputs = {"IMAGE": pictures(COFFEE.read_bytes(), COFFEE.read_bytes())}
        answer = server.infer(Inference("efficientnet_lite0_pictures", inputs, wanted))
    for row in answer.outputs["probabilities"].tolist():
        assert row[0].endswith(b":967:espresso")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_infer_bytes_says_the_same_as_infer(running: Serving, protocol: str):
    port = running.ports["HTTP" if protocol == "http" else "gRPC"]
    ask = ("infer", COFFEE, "-c", "5", "--json", "-u", f"{protocol}://127.0.0.1:{port}")
    pixels, encoded = tcli(*ask), tcli(*ask, "--bytes")
    assert (encoded.returncode, encoded.stderr) == (0, "")
    first, second = json.loads(pixels.stdout), json.loads(encoded.stdout)
    assert (first["model"], second["model"]) == ("efficientnet_lite0", "efficientnet_lite0_pictures")
    assert (first["scaling"], second["scaling"]) == ("INCEPTION", None)
    assert first["images"] == second["images"]


def test_a_broken_file_fails_alone(running: Serving, tmp_path: Path):
    (tmp_path / "cut.jpg").write_bytes(COFFEE.read_bytes()[:2000])
    (tmp_path / "empty.jpg").touch()
    files = (COFFEE, tmp_path / "cut.jpg", COFFEE, tmp_path / "empty.jpg", tmp_path / "gone.jpg")
    ran = tcli("infer", "--bytes", "-b", "4", *files, "-u", running.url("HTTP"))
    assert ran.returncode == 1
    assert ran.stdout.count("(967) espresso") == 2
    for words in ("the picture is truncated", "the file is empty", "there is no such file"):
        assert words in ran.stderr


def test_what_cannot_be_asked(running: Serving):
    address = running.url("HTTP")
    ran = tcli("infer", "--bytes", "-s", "VGG", COFFEE, "-u", address)
    assert ran.returncode == 2
    assert "with --bytes the server scales the pictures" in ran.stderr
    ran = tcli("infer", "--bytes", "-m", "efficientnet_lite0_pictures_preprocess", COFFEE, "-u", address)
    assert ran.returncode == 1
    assert "not an image classifier: its output 'PIXELS'" in ran.stderr
    ran = tcli("infer", "-m", "efficientnet_lite0_pictures", COFFEE, "-u", address)
    assert ran.returncode == 1
    assert "--bytes" in ran.stderr


def test_where_nothing_takes_files_the_fix_is_told(http_url: str):
    ran = tcli("infer", "--bytes", COFFEE, "-u", http_url)
    assert ran.returncode == 1
    assert "none of the models" in ran.stderr
    assert "tcli repo add-pictures MODEL" in ran.stderr
    ran = tcli("infer", "--bytes", "-m", "add_sub", COFFEE, "-u", http_url)
    assert "does not take picture files" in ran.stderr


def test_init_with_an_ensemble(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: no network
        proxy = f"http://127.0.0.1:{taken.getsockname()[1]}"
        offline = {"HTTPS_PROXY": proxy, "https_proxy": proxy, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        ran = tcli("repo", "init", tmp_path / "models", "--ensemble", **offline)
        again = tcli("repo", "init", tmp_path / "models", "--ensemble", **offline)
    assert (ran.returncode, again.returncode) == (0, 0)
    names = [f"{model}{end}" for model in ("densenet_onnx", "efficientnet_lite0") for end in ("_pictures", "")]
    for name in names:
        assert name in ran.stdout
    assert again.stdout.count("exists, left as it is") == 6
    checked = tcli("repo", "check", "--model-repository", tmp_path / "models")
    assert checked.stdout == "6 models checked: no problems\n"


def test_add_pictures(tmp_path: Path):
    folder = tmp_path / "models"
    scaffold_efficientnet_lite0(folder)
    ran = tcli(
        "repo", "add-pictures", "efficientnet_lite0", "--name", "eyes", "--resize", "shorter_side", "--resize-to",
        "256", "--instances", "1", "--model-repository", folder,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"added eyes and eyes_preprocess to {folder}\n")
    assert ran.stdout.endswith(f"next: tcli serve --model-repository {folder}\n")
    checked = tcli("repo", "check", "--model-repository", folder)
    assert (checked.returncode, checked.stdout) == (0, "3 models checked: no problems\n")
    listed = tcli("repo", "list", "--model-repository", folder).stdout.splitlines()
    assert [row.split()[2] for row in listed[1:]] == ["onnxruntime", "ensemble", "image"]
    again = tcli("repo", "add-pictures", "efficientnet_lite0", "--name", "eyes", "--model-repository", folder)
    assert again.returncode == 1
    assert "replace them with --force" in again.stderr
    other = tcli("repo", "add-pictures", "efficientnet", "--model-repository", folder)
    assert other.returncode == 1
    assert "did you mean 'efficientnet_lite0'?" in other.stderr
