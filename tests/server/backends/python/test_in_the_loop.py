"""Small requests to Python models over the network: the event loop itself gives them to the process, and waits for none."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from python_models import IDENTITY_CONFIG, write_python_model
from tcli_server.backends.python.supervisor import Supervisor
from tcli_server.engine import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until

MODEL = """
import os
import time


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            what = request.request_id()
            if what == "exit":
                os._exit(4)
            while what == "wait" and not os.path.exists(pb_utils.get_model_dir() + "/go"):
                time.sleep(0.01)
            array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            if what == "large":
                array = np.repeat(array, 1_000_000)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array)]))
        return answers
"""


class Client:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.engine = server.engine
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{server.http_port}", timeout=120)

    def ask(self, value: float, request_id: str = "") -> httpx.Response:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": [value]}
        return self.http.post("/v2/models/m/infer", json={"id": request_id, "inputs": [tensor]})

    def counts(self) -> tuple[int, int]:
        statistics = self.engine.statistics("m").model_stats[0].inference_stats
        return statistics.success.count, statistics.fail.count


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    write_python_model(tmp_path, "m", MODEL, IDENTITY_CONFIG)
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    explicit = Engine(tmp_path)
    with explicit as engine, Server(engine, options) as server:
        yield Client(server)


def go(client: Client) -> None:
    (client.engine.model("m").folder / "1" / "go").touch()


def test_a_model_that_takes_its_time_holds_up_nobody(client: Client):
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(client.ask, number, "wait") for number in range(8)]
        until(lambda: client.engine.model("m").pending == 7)
        for _ in range(20):
            began = time.monotonic()
            assert client.http.get("/v2/health/live").status_code == 200
            assert time.monotonic() - began < 30
        go(client)
        assert [answer.result().json()["outputs"][0]["data"] for answer in waiting] == [[n] for n in range(8)]
    assert client.counts() == (8, 0)


def test_many_at_once_are_answered_each(client: Client):
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: client.ask(number).json()["outputs"][0]["data"], range(1000)))
    assert answers == [[number] for number in range(1000)]
    assert client.counts() == (1000, 0)


def test_large_outputs_of_small_requests(client: Client):
    output = client.ask(3, "large").json()["outputs"][0]
    assert output["shape"] == [1_000_000]
    assert set(output["data"]) == {3}


def test_a_process_that_ends_in_the_middle(client: Client):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.ask(n, "exit" if n == 20 else ""), range(40)))
    (failed,) = [answer for answer in answers if answer.status_code != 200]
    assert failed.status_code == 500
    assert "ended with status 4" in failed.json()["error"]
    assert client.counts() == (39, 1)


def test_those_who_wait_for_a_process_that_ended_wait_for_the_next_one(client: Client, monkeypatch: pytest.MonkeyPatch):
    heard = threading.Event()
    hear = Supervisor._gone
    monkeypatch.setattr(Supervisor, "_gone", lambda self, process: heard.wait(60) and hear(self, process))
    instance = client.engine.model("m").instances[0].instance
    instance._supervisor.process._on_gone = instance._supervisor._gone
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.ask, n, "exit" if n == 4 else "") for n in range(8)]
        until(lambda: instance._dead is not None)
        for _ in range(20):  # time to ask the one that is gone again and again
            client.http.get("/v2/health/live")
        heard.set()
        statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [200] * 7 + [500]


def test_a_process_that_ends_while_the_loop_is_busy(client: Client):
    loop, leave = client.server._loop, threading.Event()
    supervisor = client.engine.model("m").instances[0].instance._supervisor
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.ask, 1, "wait")
        until(lambda: supervisor.process.begun == 1)  # or the next process would be given it
        loop.call_soon_threadsafe(leave.wait, 60)
        supervisor.process.kill()
        until(lambda: supervisor.restarts == 1 and supervisor.fit)  # all that was the old one's is cleared away
        leave.set()
        assert answer.result().status_code == 500


def test_the_server_ends_with_a_request_on_its_way(client: Client):
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.ask, 1, "wait")
        until(lambda: not client.engine.model("m").idle)
        ending = threading.Thread(target=client.server.shutdown)
        ending.start()
        until(lambda: client.engine.stopping)
        go(client)
        assert answer.result().json()["outputs"][0]["data"] == [1]
        ending.join(60)
        assert not ending.is_alive()


def test_large_requests_between_small_ones(client: Client):
    """Those are for the instance's own thread, whatever the loop did to the socket."""
    for _ in range(20):
        assert client.ask(1).status_code == 200
        array = np.full(200_000, 2, np.float32)
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [200_000], "parameters": {"binary_data_size": 800_000}}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        answer = client.http.post("/v2/models/m/infer", content=head + array.tobytes(), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.content.endswith(array.tobytes())
    assert client.counts() == (40, 0)
    assert client.engine.model("m").instances[0].instance.restarts == 0
