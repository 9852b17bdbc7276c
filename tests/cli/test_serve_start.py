"""How `tcli serve` starts: what stops it, what does not, and that a signal is acted on at once."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import onnx_models
from broken_models import BROKEN
from repositories import write_model
from serve_command import FREE_PORTS, PATIENCE, serve, serving

LIVES_ON = ("--exit-on-error=false",)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "good", onnx_models.identity())
    return tmp_path / "models"


def status(url: str) -> int:
    return httpx.get(f"http://{url}").status_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_the_start_though_a_load_goes_on(models: Path, number: signal.Signals):
    write_model(models, "endless", onnx_models.endless_to_load())
    command = [
        sys.executable,
        "-m",
        "triton_cli",
        "serve",
        *FREE_PORTS,
        f"--model-repository={models}",
        "--log-verbose=1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            # Past the imports and into ONNX Runtime: its thread computes.
            deadline = time.monotonic() + PATIENCE
            while cpu_seconds(process.pid) < 4:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(number)
            sent = time.monotonic()
            output, errors = process.communicate(timeout=PATIENCE)
            took = time.monotonic() - sent
        finally:
            process.kill()
    assert process.returncode == 0
    assert f"Signal ({int(number)}) received.\n" in errors
    assert "Traceback" not in errors
    assert output == ""
    assert took < 15  # the load itself would go on for hours


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_empty_repository_starts(tmp_path: Path):
    with serving("--model-repository", tmp_path) as server:
        assert status(f"{server.url('HTTP')}/v2/health/ready") == 200
        _, errors = server.end()
    assert f"no models in {tmp_path}" in errors


def test_the_same_repository_twice_is_one(models: Path):
    (models.parent / "link").symlink_to(models)
    again = (f"{models}/", models.parent / "link", models / ".." / "models")
    with serving("--model-repository", models, *(f"--model-repository={path}" for path in again)) as server:
        assert status(f"{server.url('HTTP')}/v2/models/good/ready") == 200


def test_duplicates_that_nobody_loads_do_not_matter(models: Path, tmp_path: Path):
    write_model(tmp_path / "others", "good", onnx_models.identity())
    both = ("--model-repository", models, "--model-repository", tmp_path / "others")
    with serving(*both, "--model-control-mode=explicit") as server:
        assert status(f"{server.url('HTTP')}/v2/health/ready") == 200
        (entry,) = httpx.post(f"http://{server.url('HTTP')}/v2/repository/index").json()
        assert (entry["name"], entry["state"]) == ("good", "UNAVAILABLE")
    done = serve(*FREE_PORTS, *both)
    assert done.returncode == 1
    assert "failed to load all models: good" in done.stderr


def test_a_missing_repository_starts_a_server_that_is_not_live_where_errors_are_no_end(models: Path, tmp_path: Path):
    missing = ("--model-repository", models, "--model-repository", tmp_path / "nowhere")
    with serving(*missing, *LIVES_ON) as server:
        base = f"{server.url('HTTP')}/v2"
        assert (status(f"{base}/health/live"), status(f"{base}/health/ready")) == (400, 400)
        assert httpx.get(f"http://{base}").json()["name"] == "triton"
        code, errors = server.end()
    assert code == 0
    assert f"model repository '{tmp_path / 'nowhere'}' does not exist" in errors
    assert serve(*FREE_PORTS, *missing).returncode == 1


def test_without_auto_completion_a_folder_without_configuration_is_ignored(models: Path):
    config = 'backend: "onnxruntime" input { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1, 4 ] } ' + (
        'output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1, 4 ] }'
    )
    write_model(models, "configured", onnx_models.identity(), config)
    with serving("--model-repository", models, "--disable-auto-complete-config") as server:
        assert status(f"{server.url('HTTP')}/v2/health/ready") == 200
        assert status(f"{server.url('HTTP')}/v2/models/configured/ready") == 200
        assert "good" not in server.output
        assert "'good' is ignored: it has no config.pbtxt" in server.end()[1]


# --- repositories as nobody meant them ---


WITHOUT_PRIVILEGES = """
import ctypes, os, sys
if os.geteuid() == 0:  # nothing may be read that its mode forbids
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""


def tcli(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WITHOUT_PRIVILEGES, sys.executable, "-m", "triton_cli", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        errors="replace",
    )


def test_what_nobody_meant_leaves_the_good_model_served(models: Path):
    for number, spoil in enumerate(BROKEN.values()):
        spoil(models)
        if (models / "bad").exists():
            (models / "bad").rename(models / f"bad{number}")
    for command in ("check", "list"):
        done = tcli("repo", command, "--model-repository", models)
        assert done.returncode == (1 if command == "check" else 0), done.stderr
        assert "good" in done.stdout or command == "check"
        assert_no_harm(done.stdout + done.stderr)
    with serving("--model-repository", models, *LIVES_ON) as server:
        base = f"{server.url('HTTP')}/v2"
        assert status(f"{base}/models/good/ready") == 200
        assert (status(f"{base}/health/live"), status(f"{base}/health/ready")) == (200, 400)
        code, errors = server.end()
        assert code == 0
        assert_no_harm(server.output + errors)


def test_folders_that_may_not_be_read_are_told(models: Path):
    (models / "lost+found").mkdir(mode=0)
    done = tcli("repo", "check", "--model-repository", models)
    assert done.returncode == 1
    assert "cannot be read: Permission denied" in done.stdout
    done = tcli("serve", *FREE_PORTS, "--model-repository", models)
    assert done.returncode == 1
    assert "failed to load all models: lost+found" in done.stderr
    assert_no_harm(done.stdout + done.stderr)


def test_a_repository_that_cannot_be_looked_at(models: Path):
    hidden = models.parent / "hidden"
    hidden.mkdir()
    models.rename(hidden / "models")
    hidden.chmod(0)
    try:
        for command in (("repo", "check"), ("repo", "list"), ("serve", *FREE_PORTS)):
            done = tcli(*command, "--model-repository", hidden / "models")
            assert done.returncode == 1
            assert re.match(r"error: .* cannot be (read|reached)", done.stderr)
            assert_no_harm(done.stdout + done.stderr)
    finally:
        hidden.chmod(0o700)


def assert_no_harm(written: str) -> None:
    assert "Traceback" not in written
    assert "\x1b[2J" not in written
