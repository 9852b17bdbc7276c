"""A framework that is installed and cannot be imported: said in one message, wherever it is met, and nobody else suffers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import onnx_models
from repositories import write_model

REASON = "OSError: libopenvino.so.1: cannot open shared object file"


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Python modules whose `openvino` does not find its library, as for a new process."""
    folder = tmp_path / "site"
    (folder / "openvino").mkdir(parents=True)
    (folder / "openvino" / "__init__.py").write_text(
        'raise OSError("libopenvino.so.1: cannot open shared object file")\n'
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), *sys.path)))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model that needs it, and one that does not."""
    folder = tmp_path / "models"
    version = folder / "ir" / "1"
    version.mkdir(parents=True)
    (version / "model.xml").write_text('<net version="11"/>')
    write_model(folder, "add_sub", onnx_models.add_sub())
    return folder


def tcli(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triton_cli", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("config", ["", 'backend: "openvino"'])
def test_a_check_says_why_at_the_place_that_asks_for_it(repository: Path, config: str) -> None:
    if config:
        (repository / "ir" / "config.pbtxt").write_text(config)
    checked = tcli("repo", "check", f"--model-repository={repository}", "--json")
    assert (checked.returncode, checked.stderr) == (1, "")
    (problem,) = json.loads(checked.stdout)["problems"]
    assert problem["found"].endswith(f"'openvino', which does not load here: {REASON}")
    assert "openvino" in problem["fix"]
    assert problem["field"] == ("backend" if config else "")


@pytest.mark.usefixtures("broken")
def test_a_server_says_why_and_serves_the_others(repository: Path) -> None:
    code = (
        "import sys; from tcli_server import Engine\n"
        "with Engine(sys.argv[1]) as engine:\n"
        "    for one in engine.repository_index().models: print(one.name, one.state, one.reason)"
    )
    served = subprocess.run(
        [sys.executable, "-c", code, str(repository)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "Traceback" not in served.stderr
    assert "add_sub READY" in served.stdout
    assert f"does not load here: {REASON}" in served.stdout


@pytest.mark.usefixtures("broken")
def test_the_list_of_backends_says_why() -> None:
    listed = tcli("backends", "--json")
    found = {one["name"]: one for one in json.loads(listed.stdout)}
    assert found["openvino"]["problem"] == f"does not load: {REASON}"
    assert found["onnxruntime"]["problem"] == ""
    assert "Traceback" not in listed.stderr


def test_the_list_says_that_pictures_need_no_file() -> None:
    (line,) = [line for line in tcli("backends").stdout.splitlines() if line.startswith("image ")]
    assert "none (config.pbtxt)" in line
