"""What a newcomer does first: Triton's quickstart by hand, with curl's kind of request, and our own examples."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import tritonclient.grpc
import tritonclient.http

from tcli_server.serving import Server

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTO = EXAMPLES / "images" / "coffee.jpg"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / "clients" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_quickstarts_json_payload(scaffolded: Server):
    payload = json.dumps(example("json_payload").payload(str(PHOTO)))
    answer = httpx.post(
        f"http://127.0.0.1:{scaffolded.http_port}/v2/models/densenet_onnx/infer",
        content=payload,
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 200
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("fc6_1", "FP32", [1000])
    assert len(output["data"]) == 1000


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_tritonclient_example_sees_an_espresso(scaffolded: Server, protocol: str):
    library = {"http": tritonclient.http, "grpc": tritonclient.grpc}[protocol]
    port = scaffolded.http_port if protocol == "http" else scaffolded.grpc_port
    best, *_ = example("tritonclient_infer").classify(library, f"127.0.0.1:{port}")
    value, index, label = best.split(":")
    assert (index, label) == ("967", "espresso")
    assert float(value) > 0.8


def test_the_demo_does_the_whole_job(tmp_path: Path):
    """But for the time that its analysis takes."""
    shortened = "import triton_cli.demo as demo; demo._ANALYSIS_TIME = '8s'; demo.app()"
    command = [sys.executable, "-c", shortened, "--dir", "demo"]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env=offline()
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("(967) espresso") == 2
    report = tmp_path / result.stdout.rsplit("The report: ", 1)[1].strip()
    assert report.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for command_line in ("$ tcli repo init", "$ tcli serve", "$ tcli infer", "$ tcli analyze"):
        assert command_line in result.stdout


def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path):
    # A session of its own, so that every process the demo starts can be found by it.
    demo = subprocess.Popen(
        [sys.executable, "-m", "triton_cli", "demo", "--dir", "demo"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=offline(),
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "READY" in line:
            break
    os.killpg(demo.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
    rest = demo.stdout.read()
    assert demo.wait(60) == 130, rest
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(demo.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process of the demo still runs")


def offline() -> dict[str, str]:
    """An environment in which the model's download fails at once instead of being tried."""
    return {**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
