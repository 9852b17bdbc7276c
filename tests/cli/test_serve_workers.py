"""`tcli serve --workers`: several processes that answer as one server."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton

import onnx_models
import sequence_models
from python_models import write_python_model
from repositories import write_model
from serve_command import FREE_PORTS, PATIENCE, Serving, serve, serving

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="SO_REUSEPORT shares a port on Linux")

BODY = '{"inputs": [{"name": "INPUT0", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}'
SEVERAL = 24
"""New connections, enough for both of two workers to get some."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "identity", onnx_models.identity())
    write_model(tmp_path / "models", "other", onnx_models.identity())
    return tmp_path / "models"


@contextmanager
def two_workers(*options: object) -> Iterator[Serving]:
    with serving("--workers=2", *options) as server:
        yield server
        # The workers end by themselves when the supervisor is killed, but the test need not wait for that.
        for worker in workers(server):
            with_pid(worker.kill)


def with_pid(act: Callable[[], object]) -> None:
    with suppress(psutil.NoSuchProcess):
        act()


def workers(server: Serving) -> list[psutil.Process]:
    try:
        return psutil.Process(server.process.pid).children()
    except psutil.NoSuchProcess:
        return []


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(server: Serving, path: str, body: str | None = None) -> httpx.Response:
    """On a connection of its own."""
    url = f"http://{server.url('HTTP')}/v2/{path}"
    with httpx.Client(timeout=PATIENCE, verify=False) as client:  # certificates take longer to read than all else here
        return client.get(url) if body is None else client.post(url, content=body)


def counted(server: Serving, model: str = "identity") -> int:
    return ask(server, f"models/{model}/stats").json()["model_stats"][0]["inference_count"]


def scraped(server: Serving, name: str) -> float:
    text = httpx.get(f"http://{server.url('Metrics')}/metrics", timeout=PATIENCE).text
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.]+)$", text, re.MULTILINE)
    assert found, text
    return sum(map(float, found))


def test_two_workers_answer_on_one_port_and_their_counts_are_one(repository: Path):
    with two_workers("--model-repository", repository) as server:
        assert [line.split() for line in server.output.splitlines()[:3]] == [
            ["Model", "Version", "Status"],
            ["identity", "1", "READY"],
            ["other", "1", "READY"],
        ]
        assert len(workers(server)) == 2
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).json()["outputs"][0]["data"] == [1, 2, 3, 4]
        for _ in range(SEVERAL):
            with triton.InferenceServerClient(server.url("gRPC")) as client:
                value = triton.InferInput("INPUT0", [1, 4], "FP32")
                value.set_data_from_numpy(np.ones((1, 4), np.float32))
                client.infer("identity", [value])
        for _ in range(SEVERAL):  # whoever is asked
            assert counted(server) == 2 * SEVERAL
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            assert client.get_inference_statistics("identity").model_stats[0].inference_count == 2 * SEVERAL
        assert scraped(server, "nv_inference_count") == 2 * SEVERAL
        assert scraped(server, "tcli_server_workers") == 2


def test_each_worker_has_its_share_of_the_cores(repository: Path):
    with two_workers("--model-repository", repository) as server:
        shares = [set(worker.cpu_affinity()) for worker in workers(server)]
        cores = os.sched_getaffinity(0)
        assert set.union(*shares) == cores or len(cores) == 1
        assert set.intersection(*shares) == set() or len(cores) == 1


def test_a_load_and_an_unload_reach_all_workers(repository: Path):
    with two_workers("--model-repository", repository, "--model-control-mode=explicit") as server:
        assert ask(server, "repository/models/identity/load", "{}").status_code == 200
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).status_code == 200
        config = '{"parameters": {"config": "{\\"backend\\": \\"onnxruntime\\", \\"max_batch_size\\": 5}"}}'
        assert ask(server, "repository/models/identity/load", config).status_code == 200
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/config").json()["max_batch_size"] == 5
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            client.unload_model("identity")
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).status_code == 404


def test_what_cannot_be_loaded_is_told_and_the_others_keep_what_they_have(repository: Path):
    with two_workers(
        "--model-repository", repository, "--model-control-mode=explicit", "--load-model=identity"
    ) as server:
        refused = ask(server, "repository/models/nobody/load", "{}")
        assert (refused.status_code, "no folder 'nobody'" in refused.text) == (500, True)
        (repository / "identity" / "1" / "model.onnx").write_bytes(b"no model")
        assert ask(server, "repository/models/identity/load", "{}").status_code == 400
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).status_code == 200


ONE_OF_THEM = """
class TritonPythonModel:
    def initialize(self, args):
        import os
        if os.path.exists({armed!r}):
            os.mkdir({taken!r})  # only the first one can

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.ones(1, np.float32))]) for _ in requests]
"""


ENSEMBLE_OF_PICKY = """
platform: "ensemble"
input { name: "INPUT0" data_type: TYPE_FP32 dims: [-1] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [-1] }
ensemble_scheduling { step {
  model_name: "picky" model_version: -1
  input_map { key: "INPUT0" value: "INPUT0" } output_map { key: "OUTPUT0" value: "OUTPUT0" }
} }
"""


class Picky:
    """A model that, once armed, only the first worker can load."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self._armed, self._taken = folder / "armed", folder / "taken"
        code = ONE_OF_THEM.format(armed=str(self._armed), taken=str(self._taken))
        self._file = write_python_model(repository, "picky", code) / "1" / "model.py"

    def arm(self) -> None:
        """And change it, so that a load is one."""
        self._armed.touch()
        with suppress(FileNotFoundError):
            self._taken.rmdir()
        with self._file.open("a") as file:
            file.write("\n")

    def disarm(self) -> None:
        self._armed.unlink()


def from_anyone(server: Serving, path: str, body: str | None = None) -> set[tuple[int, str]]:
    """Every answer that some worker gives."""
    answers = [ask(server, path, body) for _ in range(SEVERAL)]
    return {(answer.status_code, answer.text) for answer in answers}


def test_a_load_that_one_worker_cannot_do_is_done_by_none(tmp_path: Path, repository: Path):
    picky = Picky(tmp_path, repository)
    picky.arm()
    (repository / "whole" / "1").mkdir(parents=True)
    (repository / "whole" / "config.pbtxt").write_text(ENSEMBLE_OF_PICKY)
    with two_workers("--model-repository", repository, "--model-control-mode=explicit") as server:
        assert ask(server, "repository/models/whole/load", "{}").status_code == 400
        for name in ("whole", "picky"):  # nor is what one worker loaded for it left there
            assert {status for status, _ in from_anyone(server, f"models/{name}/ready")} == {400}
        ask(server, "repository/models/whole/unload", "{}")
        picky.arm()
        refused = ask(server, "repository/models/picky/load", "{}")
        assert (refused.status_code, "FileExistsError" in refused.text) == (400, True)
        assert "all keep what they had" in refused.text
        for path in ("models/picky/ready", "health/ready"):
            assert {status for status, _ in from_anyone(server, path)} == {400}
        for _, index in from_anyone(server, "repository/index", "{}"):
            assert '"state":"UNAVAILABLE","reason":"' in index
            assert "FileExistsError" in index
        picky.disarm()
        assert ask(server, "repository/models/picky/load", "{}").status_code == 200
        picky.arm()
        assert ask(server, "repository/models/picky/load", "{}").status_code == 400
        for path in ("models/picky/ready", "health/ready"):
            assert {status for status, _ in from_anyone(server, path)} == {200}
        (repository / "other" / "1" / "model.onnx").write_bytes(b"no model")  # fails in the first worker already
        assert ask(server, "repository/models/other/load", "{}").status_code == 400
        ((_, index),) = from_anyone(server, "repository/index", "{}")
        assert '{"name":"other","version":"1","state":"UNAVAILABLE","reason":"' in index
        assert {status for status, _ in from_anyone(server, "health/ready")} == {400}


def test_what_one_worker_cannot_load_at_the_start_is_served_by_none(tmp_path: Path, repository: Path):
    Picky(tmp_path, repository).arm()
    with two_workers("--model-repository", repository, "--exit-on-error=false") as server:
        assert re.search(r"^picky +1 +UNAVAILABLE: ", server.output, re.MULTILINE)
        assert {status for status, _ in from_anyone(server, "models/picky/ready")} == {400}
        assert {status for status, _ in from_anyone(server, "models/identity/ready")} == {200}
        _, errors = server.end()
    assert re.search(r"'picky' is served by no worker: .*1 of 2 workers could", errors)


def test_a_new_worker_that_cannot_load_what_others_have_does_not_take_part(repository: Path):
    with two_workers("--model-repository", repository) as server:
        (repository / "other" / "1" / "model.onnx").write_bytes(b"no model")
        before = {worker.pid for worker in workers(server)}
        server.process.send_signal(signal.SIGHUP)
        line = next(line for line in iter(server.process.stderr.readline, "") if "not reloaded" in line)
        assert "it could not load 'other', which others have: " in line
        assert {worker.pid for worker in workers(server)} >= before
        workers(server)[0].kill()
        line = next(line for line in iter(server.process.stderr.readline, "") if "cannot start" in line)
        assert "it could not load 'other', which others have: " in line
        for _ in range(SEVERAL):
            assert ask(server, "models/other/infer", BODY).status_code == 200


def test_a_worker_that_has_stopped_holds_up_neither_statistics_nor_metrics(repository: Path):
    with (
        two_workers("--model-repository", repository, "--exit-timeout-secs=0") as server,
        httpx.Client(timeout=PATIENCE) as mine,
    ):
        worker = worker_of(server, mine)
        assert mine.post(f"http://{server.url('HTTP')}/v2/models/identity/infer", content=BODY).status_code == 200
        assert scraped(server, "nv_inference_count") == 1
        (other,) = [one for one in workers(server) if one != worker]
        other.suspend()
        for _ in range(3):
            statistics = mine.get(f"http://{server.url('HTTP')}/v2/models/identity/stats").json()
            assert statistics["model_stats"][0]["inference_count"] == 1
            assert scraped(server, "nv_inference_count") == 1


def worker_of(server: Serving, client: httpx.Client) -> psutil.Process:
    """The one that has a client's connection."""
    answer = client.get(f"http://{server.url('HTTP')}/v2/health/live")
    here = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    (worker,) = [
        worker
        for worker in workers(server)
        if any(one.raddr and one.raddr.port == here for one in worker.net_connections("tcp"))
    ]
    return worker


def test_a_new_worker_has_the_configuration_that_was_given_until_the_folder_changes(repository: Path):
    def replaced() -> None:
        before = {worker.pid for worker in workers(server)}
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(workers(server)) == 2 and before.isdisjoint(one.pid for one in workers(server)))

    def batch_sizes() -> set[int]:
        return {ask(server, "models/identity/config").json()["max_batch_size"] for _ in range(SEVERAL)}

    with two_workers("--model-repository", repository, "--model-control-mode=explicit") as server:
        config = '{"parameters": {"config": "{\\"backend\\": \\"onnxruntime\\", \\"max_batch_size\\": 5}"}}'
        for body in (config, "{}"):  # the second one changes nothing, as in one process
            assert ask(server, "repository/models/identity/load", body).status_code == 200
        replaced()
        assert batch_sizes() == {5}
        (repository / "identity" / "config.pbtxt").write_text('backend: "onnxruntime" max_batch_size: 3')
        assert ask(server, "repository/models/identity/load", "{}").status_code == 200
        replaced()
        assert batch_sizes() == {3}


def test_a_sequence_goes_on_where_its_connection_is_and_never_in_another_worker(tmp_path: Path):
    write_model(tmp_path, "sums", sequence_models.sums(), sequence_models.sums_config())

    def add(client: httpx.Client, value: int, **controls: object) -> tuple[int, str]:
        tensor = {"name": "INPUT", "shape": [1, 1], "datatype": "INT32", "data": [value]}
        request = {"parameters": {"sequence_id": 7, **controls}, "inputs": [tensor], "outputs": [{"name": "OUTPUT"}]}
        answer = client.post(f"http://{server.url('HTTP')}/v2/models/sums/infer", json=request)
        return answer.status_code, answer.text

    with two_workers("--model-repository", tmp_path) as server, httpx.Client(timeout=PATIENCE) as same:
        assert add(same, 1, sequence_start=True)[0] == 200
        total, refused = 1, 0
        for _ in range(SEVERAL):
            with httpx.Client(timeout=PATIENCE) as other:
                status, text = add(other, 1)
            if status == 200:  # the same worker by chance
                total += 1
                assert f'"data":[{total}]' in text
            else:
                refused += 1
                assert "must specify the START flag" in text
            total += 1
            assert f'"data":[{total}]' in add(same, 1)[1]
        assert refused > 0


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
