"""Names from files and servers are shown as they are: no markup, no emoji, nothing that a terminal obeys."""

import subprocess
from pathlib import Path

import pytest
from onnx import helper
from PIL import Image

import batching_models
import colour_models
import forked_command
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

ODD = {"x[mask]": "x[mask]", "[bold]": "[bold]", "a:dog:b": "a:dog:b", "e\x1b[2Jf": "e\\x1b[2Jf", "n\nl": "n\\nl"}
"""Name -> how it is shown in one line."""


def tcli(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return forked_command.run(*arguments, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository of one model, whose inputs and outputs have odd names."""
    path = tmp_path_factory.mktemp("odd")
    nodes = [helper.make_node("Identity", [name], [f"{name}/out"]) for name in ODD]
    file = batching_models.save(
        path / "odd.onnx", nodes, {name: ["N", 4] for name in ODD}, {f"{name}/out": ["N", 4] for name in ODD}
    )
    added = tcli(path, "repo", "add", str(file))
    assert added.returncode == 0, added.stderr
    (path / "added").write_text(added.stdout)
    return path


def test_add_shows_the_names_as_they_are(folder):
    shown = (folder / "added").read_text()
    for name in ("x[mask]", "[bold]", "a:dog:b"):
        assert f'name: "{name}"' in shown
    assert "\x1b" not in shown


def test_the_table_shows_the_names_as_they_are(folder):
    ran = tcli(folder, "repo", "list")
    assert ran.returncode == 0, ran.stderr
    for shown in ODD.values():
        assert f"{shown} FP32(4)" in ran.stdout
        assert f"{shown}/out FP32(4)" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_problems_are_shown_as_they_are(folder, tmp_path):
    model = tmp_path / "models" / "odd[1]"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.onnx").write_bytes((folder / "odd.onnx").read_bytes())
    config = (folder / "model_repository" / "odd" / "config.pbtxt").read_text().replace('"odd"', '"odd[1]"')
    (model / "config.pbtxt").write_text(config.replace('name: "[bold]"', 'name: "[red]:dog:"', 1))
    ran = tcli(tmp_path, "repo", "check", "--model-repository", "models")
    assert ran.returncode == 1
    assert "odd[1]/config.pbtxt" in ran.stdout
    assert "'[red]:dog:'" in ran.stdout
    assert "'[bold]'" in ran.stdout
    assert "\x1b" not in ran.stdout


def test_an_analysis_tells_the_names_as_they_are(tmp_path):
    file = batching_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("Neg", ["[red]:dog:"], ["y"])],
        {"[red]:dog:": ["N", "L"]},
        {"y": ["N", "L"]},
    )
    assert tcli(tmp_path, "repo", "add", str(file)).returncode == 0
    quick = (
        "--measurement-interval",
        "10",
        "--max-time",
        "5s",
        "--search",
        "grid",
        "--concurrency",
        "1",
        "--batch-sizes",
        "1",
    )
    ran = tcli(tmp_path, "analyze", "-m", "m", *quick, "--instance-counts", "1")
    assert ran.returncode == 0, ran.stderr
    assert "variable dimensions are measured as [red]:dog: [1]; --shape" in " ".join(ran.stdout.split())


def test_a_servers_names_and_labels_are_shown_as_they_are(tmp_path):
    repository = colour_models.write_colour_models(tmp_path / "models")
    (repository / "colours").rename(repository / "[bold]colours")
    (repository / "[bold]colours" / "labels.txt").write_text("[red]hot :dog:\ngr\x1b[2Jeen\nblue\n")
    Image.new("RGB", (12, 9), (255, 51, 0)).save(tmp_path / "[red].png")
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    with Server(Engine(repository), options) as server:
        url = f"127.0.0.1:{server.http_port}"
        ran = tcli(tmp_path, "infer", "-m", "[bold]colours", "-c", "2", "-u", url, "[red].png")
        unknown = tcli(tmp_path, "infer", "-m", "[red]x\x1b[2J", "-u", url, "[red].png")
    assert ran.stdout.splitlines()[0] == "Image '[red].png':"
    assert ran.stdout.splitlines()[1].endswith("(0) [red]hot :dog:")
    assert ran.stdout.splitlines()[2].endswith("(1) gr\\x1b[2Jeen")
    assert "model '[red]x\\x1b[2J' is not at" in unknown.stderr
    assert "[bold]colours" in unknown.stderr
    assert "\x1b" not in unknown.stderr
