"""A server's life: which ports it takes, what it refuses, how it ends."""

import dataclasses
import queue
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton

import onnx_models
from repositories import write_model
from tcli_server import Engine, InferenceRequest
from tcli_server.errors import InvalidArgumentError, UnavailableError
from tcli_server.serving import ServeOptions, Server


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path, "identity", onnx_models.identity())
    write_model(tmp_path, "slow", onnx_models.slow_identity())
    return tmp_path


def test_defaults_are_triton_s():
    options = ServeOptions()
    assert (options.http_port, options.grpc_port, options.metrics_port) == (8000, 8001, 8002)
    assert (options.http_max_input_size, options.metrics_interval_ms, options.exit_timeout_secs) == (64 << 20, 2000, 30)
    assert (options.allow_http, options.allow_grpc, options.allow_metrics) == (True, True, True)
    assert (options.allow_cpu_metrics, options.allow_gpu_metrics) == (True, True)
    grpc = options.grpc
    assert (grpc.infer_response_compression_level, grpc.keepalive_permit_without_calls) == ("none", False)
    assert (grpc.keepalive_time, grpc.keepalive_timeout) == (7_200_000, 20_000)
    assert (grpc.http2_max_pings_without_data, grpc.http2_max_ping_strikes) == (2, 2)
    assert grpc.http2_min_recv_ping_interval_without_data == 300_000
    assert (grpc.max_connection_age, grpc.max_connection_age_grace) == (0, 0)


def test_ports_are_told_and_answer(repository: Path, loopback: ServeOptions):
    with Server(Engine(repository), loopback) as server:
        assert len({server.http_port, server.grpc_port, server.metrics_port} - {0}) == 3
        assert httpx.get(f"http://127.0.0.1:{server.http_port}/v2/health/ready").status_code == 200
        assert triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}").is_server_ready()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{server.http_port}/v2")


def test_services_can_be_left_out(repository: Path, loopback: ServeOptions):
    options = dataclasses.replace(loopback, allow_grpc=False, allow_metrics=False)
    with Server(Engine(repository), options) as server:
        assert server.http_port
        assert (server.grpc_port, server.metrics_port) == (0, 0)


def test_two_servers_in_one_process(repository: Path, loopback: ServeOptions):
    with Server(Engine(repository), loopback) as one, Server(Engine(repository), loopback) as other:
        for server in (one, other):
            assert triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}").is_server_ready()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system cannot share ports")
@pytest.mark.parametrize("engine", ["nghttp2", "aio"])
def test_servers_that_all_want_so_share_ports(tmp_path: Path, loopback: ServeOptions, engine: str):
    grpc = dataclasses.replace(loopback.grpc, engine=engine)
    options = dataclasses.replace(loopback, grpc=grpc, reuse_http_port=True, reuse_grpc_port=True)
    with Server(Engine(tmp_path), options) as first:
        ports = {"http_port": first.http_port, "grpc_port": first.grpc_port}
        with Server(Engine(tmp_path), dataclasses.replace(options, **ports)) as second:
            assert (second.http_port, second.grpc_port) == (first.http_port, first.grpc_port)
            first.shutdown()
            assert httpx.get(f"http://127.0.0.1:{second.http_port}/v2/health/live").status_code == 200
            assert triton.InferenceServerClient(f"127.0.0.1:{second.grpc_port}").is_server_live()
            for alone in ("reuse_http_port", "reuse_grpc_port"):
                with pytest.raises(UnavailableError, match="in use"):
                    Server(Engine(tmp_path), dataclasses.replace(options, **ports, **{alone: False})).start()


@pytest.mark.parametrize("service", ["http", "grpc", "metrics"])
def test_a_port_in_use_is_named_with_its_field(repository: Path, loopback: ServeOptions, service: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = dataclasses.replace(loopback, **{f"{service}_port": port})
        with pytest.raises(UnavailableError) as refusal:
            Server(Engine(repository), options).start()
    assert str(refusal.value) == f"port {port} on 127.0.0.1 is in use by another program; fix: {service}_port"


@pytest.mark.parametrize(("changes", "words"), [
    ({"http_port": 18765, "grpc_port": 18765}, "grpc_port and http_port are both 18765"),
    ({"http_port": 70000}, "http_port 70000 is no port"),
    ({"grpc_address": "192.0.2.1"}, "does not have the address 192.0.2.1; fix: grpc_address"),
], ids=["same port", "no port", "not ours"])  # fmt: skip
def test_addresses_that_cannot_be(repository: Path, loopback: ServeOptions, changes: dict, words: str):
    with pytest.raises(InvalidArgumentError, match=words):
        Server(Engine(repository), dataclasses.replace(loopback, **changes)).start()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_what_is_in_flight_is_answered_before_the_end(repository: Path, loopback: ServeOptions, protocol: str):
    server = Server(Engine(repository), loopback)
    server.start()
    accepted = _count_accepted(server)
    with ThreadPoolExecutor(4) as pool:
        ask = _ask_over_http if protocol == "http" else _ask_over_grpc
        answers = [pool.submit(ask, server) for _ in range(4)]
        for _ in answers:
            assert accepted.acquire(timeout=30)
        assert server.shutdown(timeout=60) is True
        assert [answer.result() for answer in answers] == [1.0] * 4


def _count_accepted(server: Server) -> threading.Semaphore:
    accepted = threading.Semaphore(0)
    model = server.engine.model("slow")
    submit = model.submit

    def count(request: InferenceRequest, *later: object) -> bool:
        taken = submit(request, *later)
        accepted.release()
        return taken

    model.submit = count
    return accepted


def _ask_over_http(server: Server) -> float:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}
    response = httpx.post(
        f"http://127.0.0.1:{server.http_port}/v2/models/slow/infer", json={"inputs": [tensor]}, timeout=60
    )
    return response.json()["outputs"][0]["data"][0]


def _ask_over_grpc(server: Server) -> float:
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        tensor = triton.InferInput("INPUT0", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
        return float(client.infer("slow", [tensor]).as_numpy("OUTPUT0")[0, 0])


def test_a_server_that_withdraws_is_not_ready_and_answers_as_before(repository: Path, loopback: ServeOptions):
    with (
        Server(Engine(repository), loopback) as server,
        triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        assert client.is_server_ready()
        server.engine.withdraw()
        assert not client.is_server_ready()
        assert client.is_server_live()
        assert httpx.get(f"http://127.0.0.1:{server.http_port}/v2/health/ready").status_code == 400
        assert httpx.get(f"http://127.0.0.1:{server.http_port}/v2/health/live").status_code == 200
        assert _ask_over_http(server) == _ask_over_grpc(server) == 1.0


def test_a_timeout_ends_the_wait(repository: Path, loopback: ServeOptions):
    server = Server(Engine(repository), loopback)
    server.start()
    held = threading.Event()
    model = server.engine.model("slow")
    model.submit = lambda *_: held.set() or True  # a request that nobody ever answers
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_ask_over_grpc, server)
        assert held.wait(30)
        assert server.shutdown(timeout=0.2) is False
        assert answer.exception() is not None


def test_metrics_answer_while_the_others_drain(repository: Path, loopback: ServeOptions):
    server = Server(Engine(repository), loopback)
    server.start()
    entered, release = threading.Event(), threading.Event()
    shutdown = server.engine.shutdown

    def slow_shutdown(timeout: float) -> bool:
        entered.set()
        assert release.wait(30)
        return shutdown(timeout)

    server.engine.shutdown = slow_shutdown
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(server.shutdown)
        assert entered.wait(30)
        assert "nv_inference_count" in httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
        assert httpx.get(f"http://127.0.0.1:{server.http_port}/v2/health/ready").status_code == 503
        release.set()
        assert ended.result(30) is True


def test_many_idle_models_end_at_once(tmp_path: Path, loopback: ServeOptions):
    for number in range(50):
        write_model(tmp_path, f"m{number}", onnx_models.identity())
    server = Server(Engine(tmp_path), loopback)
    server.start()
    began = time.monotonic()
    assert server.shutdown() is True
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("change", ["unload", "reload"])
def test_what_a_model_still_computes_after_it_was_taken_out_is_answered(
    repository: Path, loopback: ServeOptions, change: str
):
    server = Server(Engine(repository), loopback)
    server.start()
    accepted = _count_accepted(server)
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(_ask_over_http, server) for _ in range(6)]
        for _ in answers:
            assert accepted.acquire(timeout=30)
        if change == "reload":
            write_model(repository, "slow", onnx_models.slow_identity(), 'backend: "onnxruntime" max_batch_size: 2')
            server.engine.load("slow")
        else:
            server.engine.unload("slow")
        assert server.shutdown(timeout=60) is True
        assert [answer.result() for answer in answers] == [1.0] * 6


def test_a_stream_that_nobody_uses_does_not_hold_the_end(repository: Path, loopback: ServeOptions):
    server = Server(Engine(repository), loopback)
    server.start()
    answers: queue.SimpleQueue[tuple] = queue.SimpleQueue()
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        tensor = triton.InferInput("INPUT0", [1, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
        client.async_stream_infer("identity", [tensor])
        assert answers.get(timeout=30)[1] is None
        began = time.monotonic()
        assert server.shutdown(timeout=60) is True
        assert time.monotonic() - began < 30


def test_waits_of_ages_are_waits_like_others(repository: Path, loopback: ServeOptions):
    """Python's locks take no more than some centuries, but options take any number."""
    options = dataclasses.replace(loopback, exit_timeout_secs=10**15, metrics_interval_ms=10**18)
    others = set(threading.enumerate())
    with Server(Engine(repository), options) as server:
        engine = server.engine
        threads = [thread for thread in set(threading.enumerate()) - others if thread.name == "metrics-poller"]
        assert server.shutdown()
    assert not engine.models()
    assert threads
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    with Engine(repository) as other:
        assert other.shutdown(10**15)
