"""What is told of a server between two samples, and servers that tell too much, too little or nothing."""

import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import onnx_models
from repositories import write_model
from tcli_client import ClientError, ServerUnreachableError, UrlError, WrongProtocolError, parse_address
from tcli_client.watch import (
    Buckets,
    ModelSample,
    PercentilesOf,
    Sample,
    Watcher,
    activity,
    guessed_metrics_url,
    sampling,
)
from tcli_client.watch.metrics_page import MetricsPageError, read_page
from tcli_server import Engine, EngineOptions
from tcli_server.serving import ServeOptions, Server
from wild_server import answer

BEFORE = ModelSample("READY", requests=10, failures=1, inferences=20, executions=5, request_ns=10**8, queue_ns=10**7)
AFTER = ModelSample(
    "READY", requests=30, failures=2, inferences=60, executions=15, request_ns=5 * 10**8, queue_ns=5 * 10**7
)
PAGE = """\
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="m",version="1",gpu_uuid="a"} 3
nv_inference_request_success{model="m",version="1",gpu_uuid="b"} 4
nv_inference_request_failure{model="m",version="1",reason="OTHER"} 1
nv_inference_request_failure{model="m",version="1",reason="BACKEND"} 2
nv_inference_queue_duration_us{model="m",version="1"} 7000
nv_inference_pending_request_count{model="m",version="1"} 5
# TYPE tcli_request_duration_seconds histogram
tcli_request_duration_seconds_bucket{model="m",version="1",le="0.01"} 1
tcli_request_duration_seconds_bucket{model="m",version="1",le="+Inf"} 7
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us{model="s",version="1",quantile="0.5"} 1500
nv_inference_request_summary_us{model="s",version="1",quantile="0.99"} NaN
nv_cpu_utilization 0.25
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
somebody_elses{model="other"} 1
"""


def between(before: ModelSample, after: ModelSample):
    """The one model, two seconds later."""
    return activity(Sample(5.0, {("m", "1"): before}), Sample(7.0, {("m", "1"): after}))


def test_rates_and_means_are_those_of_the_time_between():
    (model,) = between(BEFORE, AFTER).models
    assert (model.requests_per_second, model.errors_per_second, model.inferences_per_second) == (10, 0.5, 20)
    assert (model.batch, model.queue_ms, model.mean_ms) == (4, 2, 20)
    assert (model.p99_ms, model.percentiles_of, model.latency_ms) == (None, PercentilesOf.NOTHING, 20)


def test_counters_that_began_again_give_no_negative_rates():
    again = between(AFTER, BEFORE)
    (model,) = again.models
    assert again.restarted
    assert (model.requests_per_second, model.errors_per_second, model.mean_ms) == (5, 0.5, 10)
    assert not between(BEFORE, AFTER).restarted


def test_a_model_that_has_just_come_has_no_rate():
    came = activity(Sample(5.0, {("m", "1"): ModelSample(is_counted=False)}), Sample(7.0, {("m", "1"): AFTER}))
    assert came.models[0].requests_per_second == 0
    assert activity(Sample(5.0, {}), Sample(7.0, {("m", "1"): AFTER})).models[0].requests_per_second == 0
    gone = activity(Sample(5.0, {("m", "1"): AFTER}), Sample(7.0, {("m", "1"): ModelSample(is_counted=False)}))
    assert not gone.restarted


def test_percentiles_of_a_histogram_are_those_of_the_interval():
    bounds = (0.01, 0.02, math.inf)
    before = ModelSample(durations=Buckets(bounds, (100, 100, 100)))
    (model,) = between(before, ModelSample(durations=Buckets(bounds, (100, 300, 300)))).models
    assert (model.p50_ms, model.percentiles_of) == (pytest.approx(15), PercentilesOf.INTERVAL)
    assert model.p99_ms == pytest.approx(19.9)
    (above,) = between(before, ModelSample(durations=Buckets(bounds, (100, 100, 150)))).models
    assert above.p50_ms == math.inf
    (none,) = between(before, before).models
    assert none.p99_ms is None
    (again,) = between(before, ModelSample(durations=Buckets(bounds, (50, 50, 50)))).models
    assert again.p50_ms == pytest.approx(5)


def test_a_page_is_added_up_over_labels_and_read_without_what_is_no_number():
    models, machine = read_page(PAGE)
    model = models["m", "1"]
    assert (model.requests, model.failures, model.queue_ns, model.pending) == (7, 3, 7_000_000, 5)
    assert model.durations == Buckets([0.01, math.inf], [1, 7])
    assert models["s", "1"].quantiles == {0.5: 0.0015}
    assert ("other", "") not in models
    assert (machine.cpu_utilisation, machine.memory_used_bytes) == (0.25, None)
    assert machine.gpus["GPU-1"].utilisation == 0.5
    with pytest.raises(MetricsPageError):
        read_page('nv_inference_count{model="m" 1')


def test_a_page_of_nonsense_is_read_without_it():
    lines = (
        'nv_inference_count{model="a\x85\u2028b\rc",version="1"} 7',
        *2 * ('nv_inference_request_success{model="m",version="1"} 1.7e308',),
        'nv_inference_request_failure{model="m",version="1"} 3',
        'tcli_request_duration_seconds_bucket{model="m",version="1",le="-Inf"} 0',
        'tcli_request_duration_seconds_bucket{model="m",version="1",le="1"} 5',
    )
    models, _ = read_page("\n".join((*lines, "")))
    assert models["a\x85\u2028b\rc", "1"].inferences == 7
    model = models["m", "1"]
    assert (model.requests, model.failures, model.durations) == (0, 3, Buckets([1], [5]))


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("localhost", "http://localhost:8002/metrics"),
        ("grpc://gpu:18001", "http://gpu:18002/metrics"),
        ("[::1]:9000", "http://[::1]:9002/metrics"),
        ("https://models.example", ""),
        ("http://models.example/prefix", ""),
        (":65535", ""),
    ],
)
def test_the_metrics_page_is_guessed_where_it_can_be(url: str, page: str):
    assert guessed_metrics_url(parse_address(url)) == page


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of `add_sub`, which is loaded, and of `other`, which is not."""
    models = tmp_path_factory.mktemp("models")
    for name in ("add_sub", "other"):
        write_model(models, name, onnx_models.add_sub(), 'backend: "onnxruntime" max_batch_size: 8')
    engine = Engine(models, options=EngineOptions(model_control_mode="explicit", load_models=("add_sub",)))
    ports = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
    with Server(engine, ports) as running:
        yield running


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_real_server_is_read_whole(server: Server, protocol: str):
    url = f"{protocol}://127.0.0.1:{getattr(server, f'{protocol}_port')}"
    ones = np.ones((4, 16), np.float32)
    with Watcher(url, f"127.0.0.1:{server.metrics_port}") as watcher:
        before = watcher.sample()
        server.engine.infer("add_sub", {"INPUT0": ones, "INPUT1": ones})
        seen = activity(before, watcher.sample())
    assert seen.notes == ()
    assert [(model.name, model.version, model.state) for model in seen.models] == [
        ("add_sub", "1", "READY"),
        ("other", "", ""),
    ]
    model = seen.models[0]
    assert model.requests_per_second * seen.seconds == pytest.approx(1)
    assert (model.batch, model.pending) == (4, 0)
    assert None not in (model.mean_ms, model.queue_ms)
    assert seen.machine.memory_total_bytes is not None


def test_without_a_metrics_page_it_says_so(server: Server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = silent.getsockname()[1]
    url = f"127.0.0.1:{server.http_port}"
    with Watcher(url, f"127.0.0.1:{nobody}") as watcher:
        sample = watcher.sample()
    assert sample.models["add_sub", "1"].pending is None
    assert sample.notes == (
        f"statistics only, as http://127.0.0.1:{nobody}/metrics cannot be read: Connection refused",
    )
    with Watcher(url) as watcher:
        assert "--metrics-url" in watcher.sample().notes[0]


@contextmanager
def told(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port; whoever connects is served so, in a thread."""

    def accept(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=quietly, args=(connection,), daemon=True).start()

    def quietly(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(1 << 16)
                serve(connection)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def trickle(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        threading.Event().wait(0.01)


@pytest.mark.parametrize(
    "serve",
    [
        endless,
        trickle,
        lambda connection: connection.sendall(answer(b"[" * 100_000)),
        lambda connection: connection.sendall(answer(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip")),
        lambda connection: connection.sendall(b"\x00\xff" * 100),
    ],
)
def test_a_hostile_server_ends_in_an_error(serve: Callable[[socket.socket], object], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "MOST_BYTES", 1 << 20)
    with told(serve) as port:
        watcher = Watcher(f"127.0.0.1:{port}", f"127.0.0.1:{port}", seconds=0.3)
        with watcher, pytest.raises(ClientError):
            watcher.sample()


def test_a_hostile_metrics_page_costs_only_itself(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "MOST_BYTES", 1 << 20)
    for serve, reason in ((endless, "more than 1 MiB"), (trickle, "no answer in time")):
        with told(serve) as port, Watcher(f"127.0.0.1:{server.http_port}", f"127.0.0.1:{port}", seconds=1) as watcher:
            sample = watcher.sample()
        assert sample.models["add_sub", "1"].state == "READY"
        assert reason in sample.notes[0]


def test_what_is_no_server_of_models_is_said(server: Server):
    with (
        Watcher(f"127.0.0.1:{server.metrics_port}") as watcher,
        pytest.raises(WrongProtocolError, match="tells nothing"),
    ):
        watcher.sample()
    with Watcher("127.0.0.1:1") as watcher, pytest.raises(ServerUnreachableError):
        watcher.sample()
    with pytest.raises(UrlError, match="not the address of a metrics page"):
        Watcher("localhost", "ftp://host/")
