"""`tcli serve --model-control-mode on-demand`: its options and what it shows."""

import re
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as triton
import typer

import onnx_models
from repositories import write_model
from serve_command import FREE_PORTS, serve, serving
from triton_cli.serve_settings import byte_count


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        write_model(tmp_path / "models", name, onnx_models.identity())
    return tmp_path / "models"


def test_models_are_loaded_when_they_are_asked_for(repository: Path):
    options = ("--model-control-mode=on-demand", "--memory-budget=1GiB", "--pin-model=two", "--idle-unload-secs=600")
    with serving("--model-repository", repository, *options) as server:
        assert server.output.startswith("3 models, loaded when they are asked for\nModel")
        assert [line.split() for line in server.output.splitlines()[2:3]] == [["two", "1", "READY"]]
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            assert client.is_server_ready()
            states = {entry.name: entry.state for entry in client.get_model_repository_index().models}
            assert states == {"one": "", "two": "READY", "three": ""}
        url = f"http://{server.url('HTTP')}/v2/models"
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
        answer = httpx.post(f"{url}/one/infer", json={"inputs": [tensor]}, timeout=60)
        assert answer.json()["outputs"][0]["data"] == [1, 2, 3, 4]
        metrics = httpx.get(f"http://{server.url('Metrics')}/metrics").text
        assert re.search(r'^tcli_on_demand_load_count\{model="one"\} 1', metrics, re.MULTILINE)
        assert re.search(r"^tcli_on_demand_memory_budget_bytes 1073741824", metrics, re.MULTILINE)
        assert server.end()[0] == 0


@pytest.mark.parametrize(("options", "message"), [
    (("--memory-budget=1GB",), "--memory-budget needs --model-control-mode=on-demand"),
    (("--pin-model=one",), "--pin-model needs --model-control-mode=on-demand"),
    (("--model-control-mode=on-demand", "--load-model=*"), "--load-model=* is what --model-control-mode=none does"),
    (("--model-control-mode=on-demand", "--pin-model=four"), "--pin-model: there is no model 'four'"),
    (("--model-control-mode=on-demand", "--pin-model=one", "--memory-budget=64"), "failed to load all models: one"),
])  # fmt: skip
def test_mistakes_are_told(repository: Path, options: tuple[str, ...], message: str):
    done = serve(*FREE_PORTS, "--model-repository", str(repository), *options)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    lines = [line for line in done.stderr.splitlines() if not re.match(r"[IWE]\d{4} ", line)]
    assert "\n".join(lines).startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500000", 500_000),
        ("500000B", 500_000),
        ("500MB", 500_000_000),
        ("500m", 500_000_000),
        ("2GiB", 2 << 30),
        ("2 gi", 2 << 30),
        ("1.5KiB", 1536),
        ("1TB", 10**12),
    ],
)
def test_byte_counts(text: str, size: int):
    assert byte_count("--memory-budget", text) == size


@pytest.mark.parametrize("text", ["", "0", "0.0001", "-1", "2XB", "GiB", "1iB", "1e9", "1_000", "٣", "1.", "nan"])
def test_what_is_no_byte_count(text: str):
    with pytest.raises(typer.BadParameter, match="expected"):
        byte_count("--memory-budget", text)


def test_an_empty_budget_is_none(repository: Path):
    """As a launch script gives it whose variable is not set: the user believes in a limit."""
    done = serve(*FREE_PORTS, "--model-repository", repository, "--model-control-mode=on-demand", "--memory-budget=")
    assert (done.returncode, "--memory-budget: '': expected bytes" in done.stderr) == (2, True)
