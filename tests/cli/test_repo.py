"""`tcli repo` as a user runs it: a command in a process of its own, its output piped."""

import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import batching_models
import forked_command
import onnx_models
from ensemble_models import ensemble, tensor, write_ensemble
from repositories import write_model

Tcli = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(cache: Path, proxy: str) -> dict[str, str]:
    """An environment in which the network cannot be reached, and says so at once."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), proxy)
    return {**os.environ, **proxies, "NO_PROXY": "", "XDG_CACHE_HOME": str(cache)}


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        yield environment(tmp_path_factory.mktemp("cache"), f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.fixture(scope="module")
def tcli(offline: dict[str, str]) -> Tcli:
    def run(*arguments: str | Path, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return forked_command.run(*arguments, cwd=cwd, environment=offline)

    return run


@pytest.fixture(scope="module")
def initialized(tcli: Tcli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `tcli repo init` was run; read only."""
    folder = tmp_path_factory.mktemp("init")
    result = tcli("repo", "init", cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "stdout").write_text(result.stdout)
    (folder / "stderr").write_text(result.stderr)
    return folder


def test_init_shows_what_it_wrote_and_what_comes_next(initialized: Path):
    stdout = (initialized / "stdout").read_text()
    for name in ("efficientnet_lite0", "densenet_onnx", "1/model.onnx", "config.pbtxt", "densenet_labels.txt"):
        assert name in stdout
    assert stdout.endswith("next: tcli serve\n")
    assert "\x1b" not in stdout
    models = initialized / "model_repository"
    assert sorted(entry.name for entry in models.iterdir()) == ["densenet_onnx", "efficientnet_lite0"]


def test_init_says_in_one_line_that_there_is_a_placeholder(initialized: Path):
    stderr = (initialized / "stderr").read_text()
    assert stderr.count("\n") == 1
    assert stderr.startswith("warning: densenet_onnx has placeholder weights")
    assert "no connection" in stderr


def test_init_again_leaves_everything_as_it_is(tcli: Tcli, initialized: Path):
    config = initialized / "model_repository" / "densenet_onnx" / "config.pbtxt"
    before = config.stat().st_mtime_ns
    result = tcli("repo", "init", cwd=initialized)
    assert result.returncode == 0
    assert result.stdout.count("exists, left as it is") == 2
    assert config.stat().st_mtime_ns == before


def test_init_refuses_half_a_model_without_force(tcli: Tcli, tmp_path: Path):
    (tmp_path / "efficientnet_lite0").mkdir()
    result = tcli("repo", "init", tmp_path)
    assert result.returncode == 1
    assert "is no complete model: config.pbtxt and 1/model.onnx missing" in result.stderr
    assert "--force" in result.stderr


def test_init_with_a_wrong_source_is_an_error(tcli: Tcli, tmp_path: Path):
    wrong = tmp_path / "densenet-7.onnx"
    wrong.write_text("version https://git-lfs.github.com/spec/v1\nsize 32719461\n")
    result = tcli("repo", "init", tmp_path / "models", "--source", wrong)
    assert result.returncode == 1
    assert "a Git LFS pointer for a file of 32,719,461 bytes" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "models" / "densenet_onnx").exists()


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_init_leaves_nothing_half_written(tmp_path: Path, kill: signal.Signals):
    with socket.socket() as silent:  # a proxy that accepts and then says nothing: init waits for it
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = environment(tmp_path / "cache", f"http://127.0.0.1:{silent.getsockname()[1]}")
        command = [sys.executable, "-m", "triton_cli", "repo", "init", str(tmp_path / "models")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        try:
            silent.settimeout(60)
            connection, _ = silent.accept()
            process.send_signal(kill)
            _, stderr = process.communicate(timeout=60)
            connection.close()
        finally:
            process.kill()
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert [entry.name for entry in (tmp_path / "models").iterdir()] == ["efficientnet_lite0"]


def test_list_shows_a_table(tcli: Tcli, initialized: Path):
    result = tcli("repo", "list", cwd=initialized)
    assert result.returncode == 0
    heading, densenet, efficientnet = result.stdout.splitlines()
    assert heading.split()[:2] == ["MODEL", "VERSIONS"]
    assert "data_0 FP32(3,224,224)" in densenet
    assert densenet.rstrip().endswith("ok, placeholder weights")
    assert "probabilities FP32(1000)" in efficientnet


def test_list_has_versions_in_the_order_of_their_numbers(tcli: Tcli, tmp_path: Path):
    for version in (10, 9, 2):
        write_model(tmp_path, "m", onnx_models.identity(), version=version)
    row = tcli("repo", "list", "--model-repository", tmp_path).stdout.splitlines()[1]
    assert "2, 9, 10" in row
    document = json.loads(tcli("repo", "list", "--model-repository", tmp_path, "--json").stdout)
    assert document[0]["versions"] == [2, 9, 10]


def test_list_as_json_is_only_json(tcli: Tcli, initialized: Path):
    result = tcli("repo", "list", "--json", cwd=initialized)
    models = {model["name"]: model for model in json.loads(result.stdout)}
    assert models["densenet_onnx"]["placeholder"] is True
    assert models["densenet_onnx"]["versions"] == [1]
    assert models["efficientnet_lite0"]["max_batch_size"] == 8
    assert models["efficientnet_lite0"]["inputs"] == [{"name": "image", "datatype": "FP32", "dims": [3, 224, 224]}]


def test_list_in_a_narrow_terminal_cuts_nothing(initialized: Path, offline: dict[str, str]):
    output = in_terminal(50, "repo", "list", cwd=initialized, env=offline)
    assert "probabilities FP32(1000)" in output
    assert "…" not in output
    assert all(len(line) <= 50 for line in output.splitlines() if "\x1b" not in line)


def test_check_is_silent_about_what_is_right(tcli: Tcli, initialized: Path):
    result = tcli("repo", "check", cwd=initialized)
    assert result.returncode == 0
    assert result.stdout == "2 models checked: no problems\n"


def test_check_tells_every_problem_and_fails(tcli: Tcli, tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.identity(), 'name: "n"\nmax_batch_sizes: 8\n')
    result = tcli("repo", "check", "--model-repository", tmp_path)
    assert result.returncode == 1
    assert f"{tmp_path}/m/config.pbtxt:1  name\n" in result.stdout
    assert f"{tmp_path}/m/config.pbtxt:2  max_batch_sizes\n" in result.stdout
    assert "  fix:      write max_batch_size\n" in result.stdout
    assert result.stdout.endswith("1 model checked: 2 problems\n")
    as_json = json.loads(tcli("repo", "check", "m", "--model-repository", tmp_path, "--json").stdout)
    assert as_json["models"] == ["m"]
    assert [problem["line"] for problem in as_json["problems"]] == [1, 2]
    assert set(as_json["problems"][0]) == {"file", "line", "field", "found", "expected", "fix", "blocks"}


def test_check_of_a_model_that_is_not_there(tcli: Tcli, tmp_path: Path):
    write_model(tmp_path, "densenet", onnx_models.identity())
    result = tcli("repo", "check", "desnet", "--model-repository", tmp_path)
    assert result.returncode == 1
    assert "did you mean 'densenet'?" in result.stderr


def test_check_of_repositories_that_are_served_together(tcli: Tcli, tmp_path: Path):
    for place in ("one", "two"):
        write_model(tmp_path / place, "shared", onnx_models.constant(np.ones(1, np.float32)), 'backend: "onnxruntime"')
    write_model(tmp_path / "two", "other", onnx_models.constant(np.ones(1, np.float32)), 'backend: "onnxruntime"')
    ends = [tensor("INPUT0", "1")], [tensor("OUTPUT0", "1")]
    maps = {"INPUT0": "INPUT0"}, {"OUTPUT0": "t"}
    steps = [("shared", *maps), ("other", {"INPUT0": "t"}, {"OUTPUT0": "OUTPUT0"})]
    write_ensemble(tmp_path / "one", "pipe", ensemble(*ends, steps, max_batch_size=0))

    def check(*arguments: str) -> "subprocess.CompletedProcess[str]":
        both = ("--model-repository", "one", "--model-repository", "two")
        return tcli("repo", "check", *arguments, *both, cwd=tmp_path)

    together = check()
    assert together.returncode == 1
    assert "a second model 'shared', beside one/shared" in together.stdout
    assert "models that are not there or ambiguous: shared" in together.stdout
    apart = check("--model-namespacing")
    assert (apart.returncode, apart.stdout) == (0, "4 models checked: no problems\n")
    document = json.loads(check("--model-namespacing", "--json", "shared").stdout)
    assert document == {"models": ["one/shared", "two/shared"], "problems": []}
    assert "no model 'shred': did you mean" in check("--model-namespacing", "shred").stderr
    alone = tcli("repo", "check", "pipe", "--model-repository", tmp_path / "one")
    assert "models that are not there: other" in alone.stdout
    absent = tcli("repo", "check", "--model-repository", "one", "--model-repository", "three", cwd=tmp_path)
    assert absent.returncode == 1
    assert "model repository 'three' does not exist" in absent.stderr


def test_add_then_check_then_add_again(tcli: Tcli, tmp_path: Path):
    (tmp_path / "net.onnx").write_bytes(onnx_models.add_sub())
    result = tcli("repo", "add", "net.onnx", "--name", "sums", "--max-batch-size", "4", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("added sums to model_repository\n")
    assert "max_batch_size: 4" in result.stdout
    assert tcli("repo", "check", cwd=tmp_path).returncode == 0
    again = tcli("repo", "add", "net.onnx", "--name", "sums", cwd=tmp_path)
    assert again.returncode == 1
    assert "already exists" in again.stderr
    assert "--force" in again.stderr
    assert tcli("repo", "add", "net.onnx", "--name", "sums", "--force", cwd=tmp_path).returncode == 0


def test_add_tells_why_it_does_not_batch(tcli: Tcli, tmp_path: Path):
    batching_models.recurrent(tmp_path / "lstm.onnx")
    result = tcli("repo", "add", "lstm.onnx", cwd=tmp_path)
    assert result.returncode == 0
    assert "max_batch_size: 0" in result.stdout
    assert "note: max_batch_size is 0: 'x' has its batch on axis 1 ('batch_size')" in result.stdout
    assert tcli("repo", "check", cwd=tmp_path).returncode == 0


def test_add_of_a_sequence_says_what_triton_has_instead(tcli: Tcli, tmp_path: Path):
    file = Path(onnxruntime.__file__).parent / "datasets" / "logreg_iris.onnx"
    result = tcli("repo", "add", file, cwd=tmp_path)
    assert result.returncode == 1
    assert "'probabilities' is a sequence, Triton's protocol has tensors only" in result.stderr
    assert "options={'zipmap': False}" in result.stderr
    assert not (tmp_path / "model_repository").exists()


@pytest.mark.parametrize("command", ["list", "check"])
def test_a_repository_that_is_not_there(tcli: Tcli, tmp_path: Path, command: str):
    result = tcli("repo", command, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        "error: model repository 'model_repository' does not exist\n"
        "  fix: write one with 'tcli repo init', or name yours with --model-repository\n"
    )


@pytest.mark.parametrize("command", [[], ["init"], ["add"], ["list"], ["check"]])
def test_help_has_examples(tcli: Tcli, command: list[str]):
    result = tcli("repo", *command, "--help")
    assert result.returncode == 0
    assert "Examples:\n    tcli repo" in result.stdout


def in_terminal(columns: int, *arguments: str, cwd: Path, env: dict[str, str]) -> str:
    """What a command prints in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in env.items() if name not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "triton_cli", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=env)
    os.close(theirs)
    output = b""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                output += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return output.decode().replace("\r\n", "\n")
