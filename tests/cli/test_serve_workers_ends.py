"""`tcli serve --workers`: how workers, and all of them, begin and end."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton

import onnx_models
from repositories import write_model
from serve_command import FREE_PORTS, PATIENCE, Serving, serve, serving
from worker_servers import BODY, SEVERAL, ask, counted, scraped, two_workers, until, workers, write_models

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="SO_REUSEPORT shares a port on Linux")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models")


@dataclass
class Load:
    """Clients that ask one request after the other, each on a connection that it keeps."""

    server: Serving
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _ask(self) -> None:
        while not self._stop.is_set():
            with httpx.Client(timeout=PATIENCE) as client:
                try:
                    while not self._stop.is_set():
                        url = f"http://{self.server.url('HTTP')}/v2/models/identity/infer"
                        answer = client.post(url, content=BODY)
                        if answer.status_code == 200:
                            self.answered += 1
                        else:
                            self.failures.append(answer.text)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))

    @contextmanager
    def running(self, clients: int) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(PATIENCE)


def test_a_killed_worker_costs_what_it_had_in_hand_is_replaced_and_its_counts_stay(repository: Path):
    clients = 4
    options = ("--model-repository", repository, "--model-control-mode=explicit", "--load-model=identity")
    with two_workers(*options) as server:
        assert ask(server, "repository/models/other/load", "{}").status_code == 200
        load = Load(server)
        with load.running(clients):
            until(lambda: load.answered > 50)
            shown = counted(server)
            killed = workers(server)[0]
            killed.send_signal(signal.SIGKILL)
            for _ in range(SEVERAL):
                before, shown = shown, counted_from_anyone(server)
                assert shown >= before
            until(lambda: scraped(server, "tcli_server_worker_restarts") == 1)
            until(lambda: len(workers(server)) == 2 and scraped(server, "tcli_server_workers") == 2)
            assert killed.pid not in [worker.pid for worker in workers(server)]
        assert counted_from_anyone(server) >= shown
        assert len(load.failures) <= clients, load.failures
        for _ in range(SEVERAL):  # what was loaded before is loaded in the new one, too
            assert ask(server, "models/other/infer", BODY).status_code == 200
        _, errors = server.end()
    assert re.search(r"worker \d+ has ended: it was ended by SIGKILL; another takes its place", errors)


def counted_from_anyone(server: Serving) -> int:
    """A connection that waited for the killed worker is reset; the client asks again."""
    while True:
        try:
            return counted(server)
        except httpx.TransportError:
            continue


def test_a_reload_replaces_every_worker_without_a_failed_request(repository: Path):
    with two_workers("--model-repository", repository) as server:
        before = {worker.pid for worker in workers(server)}
        load = Load(server)
        with load.running(3), httpx.Client(timeout=PATIENCE) as idle:
            idle.get(f"http://{server.url('HTTP')}/v2/health/ready")
            until(lambda: load.answered > 50)
            shown = counted(server)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: len(workers(server)) == 2 and before.isdisjoint(one.pid for one in workers(server)))
        assert load.failures == []
        assert counted(server) >= shown
        assert counted(server) == load.answered
        assert server.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_workers(tmp_path: Path, number: signal.Signals):
    write_model(tmp_path, "slow", onnx_models.slow_identity(rounds=3000), 'backend: "onnxruntime" max_batch_size: 1')
    with two_workers("--model-repository", tmp_path) as server:
        answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        with triton.InferenceServerClient(server.url("gRPC")) as client:  # one connection, so one worker
            value = triton.InferInput("INPUT0", [1, 4], "FP32")
            value.set_data_from_numpy(np.ones((1, 4), np.float32))
            for _ in range(3):
                client.async_infer("slow", [value], lambda result, error: answers.put(error or result))
            until(lambda: scraped(server, "nv_inference_pending_request_count") == 2)
            status, errors = server.end(number)
            answered = [answers.get(timeout=PATIENCE) for _ in range(3)]
    assert status == 0
    assert [type(one) for one in answered] == [triton.InferResult] * 3
    assert "Traceback" not in errors


def test_workers_end_with_their_supervisor(repository: Path):
    with two_workers("--model-repository", repository) as server:
        running = workers(server)
        server.process.kill()
        until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in running))


def test_a_worker_that_cannot_start_again_ends_the_server_with_its_reason(repository: Path):
    with two_workers("--model-repository", repository) as server:
        for folder in repository.iterdir():
            for file in sorted(folder.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            folder.rmdir()
        repository.rmdir()
        workers(server)[0].kill()
        _, errors = server.process.communicate(timeout=PATIENCE)
    assert server.process.returncode == 1
    assert "a worker could not be started 5 times in a row" in errors
    assert "is not a folder that exists" in errors


def test_a_model_that_fails_to_load_ends_the_start(repository: Path):
    (repository / "other" / "1" / "model.onnx").write_bytes(b"no model")
    ended = serve("--workers=2", "--model-repository", repository, "--http-port=0", "--grpc-port=0", "--metrics-port=0")
    assert ended.returncode == 1
    assert "failed to load all models: other" in ended.stderr
    assert re.search(r"^other +1 +UNAVAILABLE: ", ended.stdout, re.MULTILINE)


def test_a_port_that_is_taken_is_refused(repository: Path):
    with two_workers("--model-repository", repository) as server:
        ended = serve(
            "--workers=2", "--model-repository", repository, "--http-address=127.0.0.1", "--grpc-port=0",
            f"--http-port={server.ports['HTTP']}", "--allow-metrics=false",
        )  # fmt: skip
        assert ended.returncode == 1
        assert f"port {server.ports['HTTP']} on 127.0.0.1 is in use by another program" in ended.stderr


def test_a_port_is_free_again_at_once(repository: Path):
    with two_workers("--model-repository", repository) as server:
        port = server.ports["HTTP"]
        assert ask(server, "health/ready").status_code == 200
        assert server.end()[0] == 0
    with two_workers("--model-repository", repository, f"--http-port={port}") as server:
        assert ask(server, "health/ready").status_code == 200


@pytest.mark.parametrize(
    ("option", "fix"),
    [
        ("--model-control-mode=on-demand", "use --model-control-mode=explicit"),
        ("--rate-limit=execution_count", "leave --workers out"),
        ("--model-namespacing", "leave --workers out"),
    ],
)
def test_what_several_workers_cannot_do_is_refused(repository: Path, option: str, fix: str):
    ended = serve("--workers=2", "--model-repository", repository, option)
    assert ended.returncode == 1
    assert f"--workers does not go with {option.partition('=execution')[0]}" in ended.stderr
    assert fix in " ".join(ended.stderr.split())


def test_more_workers_than_a_machine_carries_are_refused(repository: Path):
    ended = serve("--workers=100000", "--model-repository", repository)
    assert ended.returncode == 1
    assert re.search(r"--workers 100000 on \d+ cores: .*; fix: at most \d+", ended.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_during_the_start_ends_them_in_peace(repository: Path, number: signal.Signals):
    command = [
        sys.executable,
        "-m",
        "triton_cli",
        "serve",
        "--workers=2",
        *FREE_PORTS,
        f"--model-repository={repository}",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        supervisor = psutil.Process(process.pid)
        until(lambda: len(supervisor.children()) == 2)
        started = supervisor.children()
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=PATIENCE)
        until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in started))
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_grpc_aio_shares_its_port_too(repository: Path):
    with two_workers("--model-repository", repository, "--grpc-engine=aio") as server:
        for _ in range(4):
            with triton.InferenceServerClient(server.url("gRPC")) as client:
                assert client.is_server_ready()


def test_a_port_of_one_process_is_not_shared(repository: Path):
    with serving("--model-repository", repository) as server, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", server.ports["HTTP"]))
