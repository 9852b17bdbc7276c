"""`tcli serve` as a user runs it: a process, its output, its signals and its exit status."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton

import onnx_models
from repositories import write_model

FREE_PORTS = (
    "--http-address",
    "127.0.0.1",
    "--grpc-address=127.0.0.1",
    "--http-port=0",
    "--grpc-port=0",
    "--metrics-port=0",
)
PATIENCE = 60
ONE_AT_A_TIME = 'backend: "onnxruntime" max_batch_size: 1'


class Serving:
    """A running `tcli serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""
        deadline = time.monotonic() + PATIENCE
        # The last of the addresses is the last thing that start-up prints.
        while (found := re.findall(r"^(HTTP|gRPC|Metrics) +127\.0\.0\.1:(\d+)$", self.output, re.MULTILINE)) == [] or (
            not self.output.endswith("\n\n")
        ):
            line = process.stdout.readline()
            assert line, f"ended early: {self.output}\n{process.stderr.read()}"
            assert time.monotonic() < deadline
            self.output += line
        self.ports = {name: int(port) for name, port in found}

    def url(self, service: str) -> str:
        return f"127.0.0.1:{self.ports[service]}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Signal it and give the exit status and what it wrote to stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@contextmanager
def serving(*options: object) -> Iterator[Serving]:
    command = [sys.executable, "-m", "triton_cli", "serve", *FREE_PORTS, *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Serving(process)
    finally:
        process.kill()
        process.communicate()


def serve(*options: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triton_cli", "serve", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=cwd, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "identity", onnx_models.identity())
    write_model(tmp_path / "models", "other", onnx_models.identity())
    return tmp_path / "models"


def test_start_shows_models_and_addresses_and_sigterm_ends_it(repository: Path):
    with serving("--model-repository", repository) as server:
        lines = server.output.splitlines()
        assert [line.split() for line in lines[:3]] == [
            ["Model", "Version", "Status"],
            ["identity", "1", "READY"],
            ["other", "1", "READY"],
        ]
        assert httpx.get(f"http://{server.url('HTTP')}/v2/health/ready").status_code == 200
        assert triton.InferenceServerClient(server.url("gRPC")).is_server_ready()
        assert "nv_inference_count" in httpx.get(f"http://{server.url('Metrics')}/metrics").text
        status, errors = server.end()
    assert status == 0
    assert "Signal (15) received." in errors
    assert re.search(r"^I\d{4} [\d:.]+ \d+ serving\] Started HTTPService at 127\.0\.0\.1:\d+$", errors, re.MULTILINE)


def test_ctrl_c_ends_it_too(repository: Path):
    with serving("--model-repository", repository) as server:
        status, errors = server.end(signal.SIGINT)
    assert status == 0
    assert "Signal (2) received." in errors
    assert "Traceback" not in errors


def test_requests_in_flight_are_answered_and_a_second_signal_changes_nothing(tmp_path: Path):
    write_model(tmp_path, "slow", onnx_models.slow_identity(rounds=3000), ONE_AT_A_TIME)
    with serving("--model-repository", tmp_path) as server:
        answers: list[object] = []

        def ask() -> None:
            with triton.InferenceServerClient(server.url("gRPC")) as client:
                tensor = triton.InferInput("INPUT0", [1, 4], "FP32")
                tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
                answers.append(client.infer("slow", [tensor]).as_numpy("OUTPUT0").tolist())

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        metrics = f"http://{server.url('Metrics')}/metrics"
        deadline = time.monotonic() + PATIENCE
        while not re.search(r"nv_inference_pending_request_count\S+ 2\n", httpx.get(metrics).text):
            assert time.monotonic() < deadline
        server.process.send_signal(signal.SIGTERM)
        status, errors = server.end()
        for client in clients:
            client.join(PATIENCE)
    assert (status, answers) == (0, [[[1.0] * 4]] * 3)
    assert errors.count("Signal") == 1


def test_nothing_is_awaited_with_an_exit_timeout_of_0(tmp_path: Path):
    write_model(tmp_path, "slow", onnx_models.slow_identity(rounds=10_000), ONE_AT_A_TIME)
    with serving("--model-repository", tmp_path, "--exit-timeout-secs", 0) as server:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}

        def ask() -> None:
            with pytest.raises(httpx.TransportError):
                httpx.post(
                    f"http://{server.url('HTTP')}/v2/models/slow/infer", json={"inputs": [tensor]}, timeout=PATIENCE
                )

        client = threading.Thread(target=ask)
        client.start()
        second = threading.Thread(target=ask)
        second.start()
        deadline = time.monotonic() + PATIENCE
        while not re.search(
            r"nv_inference_pending_request_count\S+ 1\n", httpx.get(f"http://{server.url('Metrics')}/metrics").text
        ):
            assert time.monotonic() < deadline
        status, errors = server.end()
        client.join(PATIENCE)
        second.join(PATIENCE)
    assert status == 1
    assert "Exit timeout expired. Exiting immediately." in errors


@pytest.mark.parametrize(("option", "sent", "status"), [
    ("--http-max-body-size=1000", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", b"413"),
    ("--http-head-timeout-secs=0.2", b"GET / HTTP/1.1\r\n", b"408"),
    ("--http-body-timeout-secs=0.2", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", b"408"),
    ("--http-idle-timeout-secs=0.2", b"", b""),
])  # fmt: skip
def test_what_one_client_may_cost(repository: Path, option: str, sent: bytes, status: bytes):
    with (
        serving("--model-repository", repository, option) as server,
        socket.create_connection(("127.0.0.1", server.ports["HTTP"]), timeout=25) as client,  # defaults are 30 and more
    ):
        client.sendall(sent)
        assert client.recv(1000)[9:12] == status


def test_how_many_connections_there_may_be(repository: Path):
    with serving("--model-repository", repository, "--http-max-connections=1") as server:
        url = f"http://{server.url('HTTP')}/v2/health/live"
        with httpx.Client() as first:
            assert first.get(url).status_code == 200
            assert httpx.get(url).status_code == 503
            assert first.get(url).status_code == 200


def test_models_on_demand(repository: Path):
    with serving("--model-repository", repository, "--model-control-mode=explicit", "--load-model", "other") as server:
        assert "identity" not in server.output
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            assert client.is_model_ready("other")
            client.load_model("identity")
            assert client.is_model_ready("identity")


def test_a_placeholder_is_said_in_one_line(tmp_path: Path):
    config = 'backend: "onnxruntime" parameters { key: "tcli_placeholder" value { string_value: "random weights" } }'
    write_model(tmp_path, "standin", onnx_models.identity(), config)
    with serving("--model-repository", tmp_path) as server:
        assert len([line for line in server.output.splitlines() if "standin has placeholder weights" in line]) == 1


SWITCHES = [("--allow-grpc=false",), ("--allow-grpc", "False"), ("--allow-grpc=OFF",), ("--allow-grpc", "0")]


@pytest.mark.parametrize("spelling", SWITCHES, ids=" ".join)
def test_switches_take_triton_s_spellings(repository: Path, spelling: tuple[str, ...]):
    with serving("--model-repository", repository, *spelling, "--allow-metrics", "--log-info=0") as server:
        assert set(server.ports) == {"HTTP", "Metrics"}
        assert server.end()[1] == "Signal (15) received.\n"


def test_a_log_file_takes_the_log(repository: Path, tmp_path: Path):
    file = tmp_path / "log"
    with serving("--model-store", repository, "--log-file", file, "--log-format=ISO8601", "--log-verbose=1") as server:
        _, errors = server.end()
    assert "Started" not in errors
    assert re.search(r"^\d{4}-.*Z I \d+ serving\] identity version 1 loaded in", file.read_text(), re.MULTILINE)


def test_a_broken_model_stops_the_start_with_its_reason(repository: Path):
    write_model(repository, "broken", b"no model")
    done = serve(*FREE_PORTS, "--model-repository", repository)
    assert done.returncode == 1
    assert re.search(r"^broken .*UNAVAILABLE: .*model\.onnx", done.stdout, re.MULTILINE)
    assert "error: failed to load all models: broken" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_model_does_not_stop_it_where_that_is_asked(repository: Path):
    write_model(repository, "broken", b"no model")
    with serving("--model-repository", repository, "--exit-on-error=false") as server:
        assert httpx.get(f"http://{server.url('HTTP')}/v2/health/ready").status_code == 400
        assert httpx.get(f"http://{server.url('HTTP')}/v2/models/identity/ready").status_code == 200
    with serving("--model-repository", repository, "--exit-on-error=false", "--strict-readiness=false") as server:
        assert httpx.get(f"http://{server.url('HTTP')}/v2/health/ready").status_code == 200


def test_a_port_in_use_is_one_clear_message(repository: Path):
    with serving("--model-repository", repository) as server:
        port = server.ports["HTTP"]
        done = serve(*FREE_PORTS, "--model-repository", repository, f"--http-port={port}")
    assert done.returncode == 1
    assert done.stderr == f"error: port {port} on 127.0.0.1 is in use by another program; fix: --http-port\n"


def test_mistakes_are_told_in_a_line_or_two(tmp_path: Path, repository: Path):
    (tmp_path / "empty").mkdir()
    mistakes = {
        (): "model repository 'model_repository' does not exist",
        ("--model-repository", "nowhere"): "model repository 'nowhere' does not exist",
        ("--model-repository", "empty"): "no models in empty",
        ("--model-repository", "models", "--model-control-mode=poll"): "--model-control-mode=poll is not supported yet",
        ("--model-repository", "models", "--load-model=identity"): "--load-model needs --model-control-mode=explicit",
        (
            "--model-repository",
            "models",
            "--model-control-mode=explicit",
            "--load-model=nope",
        ): "failed to load all models: nope",
        ("--model-repository", "models", "--log-file=nowhere/log"): "--log-file: cannot write nowhere/log",
    }
    for options, message in mistakes.items():
        done = serve(*FREE_PORTS, *options, cwd=repository.parent)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), options
        assert done.stderr.startswith(f"error: {message}"), options


@pytest.mark.parametrize(("option", "message"), [
    ("--allow-http=maybe", "'maybe' is not one of"),
    ("--frobnicate", "No such option"),
    ("--log-format=xml", "'xml' is not one of default, ISO8601"),
    ("--backend-config=x", "expected BACKEND,KEY=VALUE"),
    ("--exit-timeout-secs=-1", "--exit-timeout-secs"),
])  # fmt: skip
def test_wrong_usage_exits_with_2(option: str, message: str):
    done = serve(option)
    assert done.returncode == 2
    assert message in done.stderr


def test_help_has_examples_and_groups():
    done = serve("--help")
    assert done.returncode == 0
    for words in ("Examples:", "tcli serve", "Models:", "HTTP:", "gRPC:", "Metrics:", "Log:", "--model-store"):
        assert words in done.stdout
