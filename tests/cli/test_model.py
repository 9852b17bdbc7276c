"""`tcli model` as a user runs it, against a real server over both protocols."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

import forked_command
import onnx_models
from ensemble_models import ensemble, write_ensemble
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.serving import ServeOptions, Server

LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
CONFIG = 'backend: "onnxruntime" max_batch_size: 8 dynamic_batching { }'


@pytest.fixture(params=["http", "grpc"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A server of `add_sub`, of `broken`, and of `pipe`, which is made of `add_sub`; nothing is loaded. And its URL."""
    models = tmp_path / "models"
    write_model(models, "add_sub", onnx_models.add_sub(), CONFIG)
    write_model(models, "broken", b"no model")
    steps = [("add_sub", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "S"})]
    write_ensemble(models, "pipe", ensemble(["A", "B"], ["S"], steps))
    with Server(Engine(models, options=EngineOptions(model_control_mode="explicit")), LOOPBACK) as running:
        yield running, f"{request.param}://127.0.0.1:{getattr(running, f'{request.param}_port')}"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("model", *arguments)


def cells(ran: subprocess.CompletedProcess[str]) -> list[list[str]]:
    assert (ran.returncode, ran.stderr) == (0, "")
    return [line.split() for line in ran.stdout.splitlines()]


def test_the_life_of_a_model(server: tuple[Server, str]):
    running, url = server
    assert cells(run("list", "-u", url)) == [
        ["MODEL", "VERSION", "STATE", "REASON"],
        ["add_sub", "not", "loaded"],
        ["broken", "not", "loaded"],
        ["pipe", "not", "loaded"],
    ]
    assert cells(run("load", "pipe", "-u", url)) == [["loaded", "pipe", "version", "1"]]
    pair = {"A": np.ones((2, 16), np.float32), "B": np.ones((2, 16), np.float32)}
    running.engine.infer("pipe", pair)
    rows = cells(run("stats", "-u", url))
    assert rows[0][:7] == ["MODEL", "VERSION", "REQUESTS", "FAILED", "INFERENCES", "EXECUTIONS", "AVG"]
    assert [row[:7] for row in rows[1:]] == [[name, "1", "1", "0", "2", "1", "2.0"] for name in ("add_sub", "pipe")]
    assert cells(run("unload", "pipe", "--unload-dependents", "-u", url)) == [
        ["unloaded", "pipe"],
        ["not", "ready", "any", "more:", "add_sub", "(unloaded)"],
    ]
    documents = json.loads(run("list", "--json", "-u", url).stdout)
    assert documents[0] == {"name": "add_sub", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}
    assert documents[1] == {"name": "broken"}
    assert cells(run("list", "--ready", "-u", url)) == [["no", "model", "is", "ready"]]


def test_an_unload_says_which_ensembles_stop(server: tuple[Server, str]):
    run("load", "pipe", "-u", server[1])
    told = run("unload", "add_sub", "-u", server[1]).stdout.splitlines()
    why = "ensemble 'pipe' depends on 'add_sub' which has no loaded version"
    assert told == ["unloaded add_sub", f"not ready any more: pipe ({why})"]
    assert run("unload", "add_sub", "-u", server[1]).stdout.splitlines() == ["unloaded add_sub"]


def test_a_pipe_gets_no_blanks_behind_what_is_short(server: tuple[Server, str]):
    run("load", "broken", "-u", server[1])
    lines = run("list", "-u", server[1]).stdout.splitlines()
    assert max(map(len, lines)) > 60  # the reason why one is not there
    assert lines == [line.rstrip() for line in lines]


def test_a_configuration_as_text_and_as_json(server: tuple[Server, str], tmp_path: Path):
    running, url = server
    running.engine.load("add_sub")
    shown = run("config", "add_sub", "-u", url)
    assert text_format.Parse(shown.stdout, ModelConfig()) == running.engine.model_config("add_sub")
    document = json.loads(run("config", "add_sub", "-x", "1", "--json", "-u", url).stdout)
    assert (document["name"], document["max_batch_size"]) == ("add_sub", 8)
    changed = tmp_path / "changed"
    for text in (
        shown.stdout.replace("max_batch_size: 8", "max_batch_size: 16"),
        json.dumps({**document, "max_batch_size": 32}),
    ):
        changed.write_text(text)
        assert run("load", "add_sub", "--config", str(changed), "-u", url).returncode == 0
    assert running.engine.model_config("add_sub").max_batch_size == 32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["load", "broken"], "no ONNX"),
        (["load", "nope"], "failed to load 'nope'"),
        (["unload", "nope"], "the server knows no model 'nope'"),
        (["config", "nope"], "nope"),
        (["stats", "nope"], "'nope' is not available"),
        (["load", "add_sub", "--config", "/nowhere/config.pbtxt"], "No such file"),
        (["load", "add_sub", "--config", __file__], "no model configuration"),
        (["stats", "-x", "1"], "a version is of a model"),
    ],
)
def test_what_goes_wrong_is_said_on_stderr(server: tuple[Server, str], arguments: list[str], words: str):
    ran = run(*arguments, "-u", server[1])
    assert ran.returncode != 0
    assert ran.stdout == ""
    assert words in ran.stderr.replace("\n", " ")
    assert "Traceback" not in ran.stderr


def test_a_server_that_controls_no_models_says_so(tmp_path: Path):
    write_model(tmp_path, "add_sub", onnx_models.add_sub(), CONFIG)
    with Server(Engine(tmp_path), LOOPBACK) as running:
        ran = run("load", "add_sub", "-u", f"127.0.0.1:{running.http_port}")
    assert ran.returncode == 1
    assert "explicit model load / unload is not allowed" in ran.stderr


def test_without_a_server():
    ran = run("list", "-u", "127.0.0.1:1")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no server answers at http://127.0.0.1:1" in ran.stderr
    assert "tcli serve" in ran.stderr


def test_a_narrow_terminal_gets_blocks(tmp_path: Path):
    write_model(tmp_path, "add_sub", onnx_models.add_sub(), CONFIG)
    with Server(Engine(tmp_path), LOOPBACK) as running:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": "40", "TERM": "dumb"}
        command = [sys.executable, "-m", "triton_cli", "model", "stats", "-u", f"127.0.0.1:{running.http_port}"]
        with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
            os.close(theirs)
            output = b""
            while True:
                try:
                    read = os.read(ours, 4096)
                except OSError:
                    break
                if not read:
                    break
                output += read
        os.close(ours)
    assert process.returncode == 0
    lines = output.decode().splitlines()
    assert lines[0] == "add_sub"
    assert "  requests   0" in lines
    assert max(map(len, lines)) <= 40


def test_json_has_the_fields_that_v2_has_zeros_too(server: tuple[Server, str]):
    running, url = server
    running.engine.load("add_sub")
    (statistics,) = json.loads(run("stats", "--json", "-u", url).stdout)
    assert (statistics["inference_count"], statistics["execution_count"], statistics["batch_stats"]) == (0, 0, [])
    assert statistics["inference_stats"]["success"] == {"count": 0, "ns": 0}
    assert json.loads(run("config", "add_sub", "--json", "-u", url).stdout)["default_model_filename"] == "model.onnx"
    assert json.loads(run("config", "add_sub", "--json", "-u", url).stdout)["model_warmup"] == []
    rows = json.loads(run("list", "--json", "-u", url).stdout)
    assert {"name": "broken"} in rows
