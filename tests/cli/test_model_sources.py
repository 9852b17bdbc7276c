"""`tcli repo add` and `tcli serve` with models from elsewhere, as a user runs them, with a hub on loopback."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import forked_command
import onnx_models
from file_server import Answer, serve_files
from hub_server import PAGE, Fault, Hub, Repository, serve_hub
from serve_command import FREE_PORTS, PATIENCE, Serving

MODEL = onnx_models.identity()
needs_client = pytest.mark.skipif(not importlib.util.find_spec("huggingface_hub"), reason="needs huggingface_hub")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as served:
        served.repositories["org/name"] = Repository({"model.onnx": MODEL}, {"model.onnx"}, card={"license": "mit"})
        yield served


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.url}
    return {**ours, **home}


class Tcli:
    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "triton_cli", *map(str, arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **streams)

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """The exit status, stdout and stderr."""
        ran = forked_command.run(*arguments, cwd=self.folder, environment=self.environment, timeout=PATIENCE)
        assert "Traceback" not in ran.stderr
        return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def tcli(tmp_path: Path, environment: dict[str, str]) -> Tcli:
    folder = tmp_path / "work"
    folder.mkdir()
    return Tcli(folder, environment)


@needs_client
def test_add_from_the_hub(tcli: Tcli, hub: Hub):
    status, stdout, stderr = tcli.run("repo", "add", "hf:org/name@main")
    assert (status, stderr) == (0, "downloading model.onnx (0.1 kB)\n")
    config = (tcli.folder / "model_repository" / "name" / "config.pbtxt").read_text()
    for line in (f"From: {hub.url}/org/name, file model.onnx", "Licence: mit", f"Revision: {'c0ffee00' * 5} (main)"):
        assert f"# {line}\n" in config
    assert config in stdout
    assert tcli.run("repo", "check")[:2] == (0, "1 model checked: no problems\n")


@needs_client
def test_class_names_come_from_what_the_repository_says(tcli: Tcli, hub: Hub):
    names = ["cat", "dog", "fox", "owl"]
    described = json.dumps({"id2label": dict(enumerate(names))}).encode()
    hub.repositories["org/name"] = Repository({"onnx/model.onnx": MODEL, "config.json": described, "README.md": b"x"})
    status, stdout, stderr = tcli.run("repo", "add", "hf:org/name")
    assert status == 0, stderr
    assert hub.files_asked() == ["onnx/model.onnx", "config.json"]
    model = tcli.folder / "model_repository" / "name"
    assert 'label_filename: "labels.txt"' in stdout
    assert (model / "labels.txt").read_text().split() == names
    assert sorted(path.name for path in model.rglob("*")) == ["1", "config.pbtxt", "labels.txt", "model.onnx"]


@needs_client
def test_a_name_that_is_taken_is_told_before_anything_is_fetched(tcli: Tcli, hub: Hub):
    assert tcli.run("repo", "add", "hf:org/name")[0] == 0
    hub.asked.clear()
    status, _, stderr = tcli.run("repo", "add", "hf:org/name")
    assert status == 1
    assert "already exists" in stderr
    assert "--force" in stderr
    assert hub.asked == []
    assert tcli.run("repo", "add", "hf:org/name", "--force")[0] == 0
    assert tcli.run("repo", "add", "hf:org/name", "--name", "other")[0] == 0


@needs_client
def test_several_models_are_listed_with_what_to_type(tcli: Tcli, hub: Hub):
    files = {"encoder.onnx": MODEL, "decoder.onnx": MODEL + b"x" * 2_000_000}
    hub.repositories["org/name"] = Repository(files)
    status, _, stderr = tcli.run("repo", "add", "hf:org/name")
    assert status == 1
    assert stderr == (
        "error: hf:org/name: 2 files could be the model: name one:\n"
        "  hf:org/name/decoder.onnx  2.0 MB\n"
        "  hf:org/name/encoder.onnx  0.0 MB\n"
    )
    assert hub.files_asked() == []


@needs_client
def test_an_interrupted_download_is_finished_by_the_next_one(tcli: Tcli, hub: Hub):
    repository = hub.repositories["org/name"]
    big = onnx_models.constant_of(1_000_000)
    repository.files["model.onnx"] = big
    repository.faults["model.onnx"] = Fault(stalls=True, times=1)
    interrupt(tcli.start("repo", "add", "hf:org/name"), signal.SIGINT)
    assert not (tcli.folder / "model_repository").exists()
    assert tcli.run("repo", "add", "hf:org/name")[0] == 0
    assert (tcli.folder / "model_repository" / "name" / "1" / "model.onnx").read_bytes() == big
    assert hub.ranges("model.onnx")[0] == ""
    assert hub.ranges("model.onnx")[1].startswith("bytes=")


@needs_client
def test_a_server_that_still_fetches_its_model_can_be_ended(tcli: Tcli, hub: Hub):
    hub.repositories["org/name"].files["model.onnx"] = onnx_models.constant_of(1_000_000)
    hub.repositories["org/name"].faults["model.onnx"] = Fault(stalls=True)
    interrupt(tcli.start("serve", "hf:org/name", *FREE_PORTS), signal.SIGTERM)


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal a command that is fetching the model, and see it end."""
    assert process.stderr
    try:
        assert process.stderr.readline() == "downloading model.onnx (4 MB)\n"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stderr.endswith("interrupted: nothing half-written was left, a download goes on where it was next time\n")
    assert "Traceback" not in stderr


@needs_client
def test_a_hub_that_stalls_is_given_up(tcli: Tcli, hub: Hub):
    tcli.environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    hub.repositories["org/name"].files["model.onnx"] = onnx_models.constant_of(1_000_000)
    hub.repositories["org/name"].faults["model.onnx"] = Fault(stalls=True, break_after=0)
    status, _, stderr = tcli.run("repo", "add", "hf:org/name")
    assert status == 1
    assert (
        "it stopped sending again and again: run the same command again, which goes on where this one stopped" in stderr
    )


@needs_client
def test_without_a_hub_there_is_one_line(tcli: Tcli):
    tcli.environment |= {"HF_ENDPOINT": "http://127.0.0.1:9"}
    status, _, stderr = tcli.run("repo", "add", "hf:org/name")
    assert status == 1
    assert stderr.startswith("error: hf:org/name: http://127.0.0.1:9 cannot be reached (")
    assert stderr.count("\n") == 1


def test_without_the_client_the_command_is_told_that_brings_it(tcli: Tcli, tmp_path: Path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "huggingface_hub.py").write_text("raise ImportError('not here')\n")
    tcli.environment["PYTHONPATH"] = f"{tmp_path / 'broken'}:{os.environ.get('PYTHONPATH', '')}"
    process = tcli.start("repo", "add", "hf:org/name")
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert stderr == 'error: hf:org/name: needs the hub\'s client: pip install "tcli[hub]"\n'


def test_add_from_an_address(tcli: Tcli):
    with serve_files({"/a/my%20model.onnx?key=s3cr3t": Answer(MODEL), "/page": Answer(PAGE)}) as server:
        url = server.url.replace("//", "//me:passw0rd@")
        status, stdout, stderr = tcli.run("repo", "add", f"{url}/a/my%20model.onnx?key=s3cr3t")
        assert status == 0, stderr
        wrong = tcli.run("repo", "add", f"{url}/page")
    model = tcli.folder / "model_repository" / "my_model"
    assert (model / "1" / "model.onnx").read_bytes() == MODEL
    assert f"# From: {server.url}/a/my%20model.onnx?...\n" in (model / "config.pbtxt").read_text()
    assert f"error: {server.url}/page: it sent an HTML page titled 'Sign in': give the address of the file" in wrong[2]
    said = stdout + stderr + "".join(wrong[1:])
    kept = "".join(path.read_text("utf-8", "replace") for path in tcli.folder.parent.rglob("*") if path.is_file())
    assert "s3cr3t" not in said + kept
    assert "passw0rd" not in said + kept


def test_a_cache_that_cannot_be_written_is_named(tcli: Tcli, tmp_path: Path):
    (tmp_path / "cache").write_text("a file, where a folder is to be")
    with serve_files({"/m.onnx": Answer(MODEL)}) as server:
        status, _, stderr = tcli.run("repo", "add", f"{server.url}/m.onnx")
    assert status == 1
    assert f"error: {tmp_path / 'cache'}" in stderr


def test_what_is_not_fetched_is_refused(tcli: Tcli):
    status, _, stderr = tcli.run("repo", "add", "ftp://host/model.onnx")
    assert status == 1
    assert stderr.startswith(
        "error: 'ftp://host/model.onnx': addresses of kind 'ftp:' are not fetched, expected https://"
    )
    status, _, stderr = tcli.run("serve", "models")
    assert status == 1
    assert stderr == (
        "error: 'models' is no address and no hf:ORG/NAME\n"
        "  fix: to serve a folder of models: --model-repository models\n"
    )


@needs_client
def test_serve_fetches_and_serves_and_does_so_again_without_the_hub(tcli: Tcli, hub: Hub):
    for reachable in (True, False):
        if not reachable:
            tcli.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
        process = tcli.start("serve", "hf:org/name", *FREE_PORTS)
        try:
            serving = Serving(process)
            answer = httpx.get(f"http://{serving.url('HTTP')}/v2/models/name", timeout=PATIENCE)
            assert answer.json()["inputs"] == [{"name": "INPUT0", "datatype": "FP32", "shape": [-1, 4]}]
            status, stderr = serving.end()
        finally:
            process.kill()
            process.communicate()
        assert status == 0
        assert ("cannot be reached" in stderr) is not reachable
        assert ("what was fetched before is served" in stderr) is not reachable
    assert list(tcli.folder.iterdir()) == []
    assert len(hub.ranges("model.onnx")) == 1


@needs_client
def test_serve_keeps_what_the_user_wrote_until_the_model_is_another(tcli: Tcli, hub: Hub):
    def served(*more: str) -> tuple[list[int], str]:
        process = tcli.start("serve", "hf:org/name", *FREE_PORTS, *more)
        try:
            serving = Serving(process)
            answer = httpx.get(f"http://{serving.url('HTTP')}/v2/models/name/config", timeout=PATIENCE).json()
            return answer["max_batch_size"], serving.end()[1]
        finally:
            process.kill()
            process.communicate()

    assert served()[0] == 8
    (config,) = tcli.folder.parent.glob("cache/tcli/models/served/*/model_repository/name/config.pbtxt")
    config.write_text(config.read_text().replace("max_batch_size: 8", "max_batch_size: 2"))
    assert served()[0] == 2
    hub.repositories["org/name"].commit = "beef" * 10
    size, stderr = served()
    assert size == 8
    assert "note: it is another state of the model: its configuration was written anew" in stderr
