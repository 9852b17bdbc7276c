"""The metrics port, read by Prometheus' own parser."""

import dataclasses
import gc
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

import onnx_models
from repositories import write_model
from tcli_server import Engine, InferenceRequest, InferenceResponse, ServerError
from tcli_server.hardware.gpu import GpuUsage, gpu_count
from tcli_server.observability.custom_metrics import MetricKind
from tcli_server.observability.metrics import ServerCollector
from tcli_server.observability.system import SystemUsage
from tcli_server.serving import ServeOptions, Server

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

MODEL = (("model", "counted"), ("version", "1"))
TAGGED = (("_team", 'a "b"\\c'), *MODEL)


@pytest.fixture
def counted(tmp_path: Path, loopback: ServeOptions) -> Iterator[Server]:
    write_model(tmp_path, "counted", onnx_models.identity())
    with Server(Engine(tmp_path), loopback) as running:
        yield running


def scrape(server: Server) -> str:
    response = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return response.text


def samples(server: Server) -> Samples:
    # The parser ends every counter's name in `_total`; test_types_... looks at the text itself.
    return {
        (sample.name.removesuffix("_total"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(scrape(server))
        for sample in family.samples
    }


def infer(server: Server, rows: int = 1) -> None:
    server.engine.infer("counted", {"INPUT0": np.zeros((rows, 4), np.float32)})


def test_every_family_of_a_loaded_model_is_there_from_the_start(counted: Server):
    found = samples(counted)
    for name in (
        "nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count", "nv_inference_request_duration_us",
        "nv_inference_queue_duration_us", "nv_inference_compute_input_duration_us",
        "nv_inference_compute_infer_duration_us", "nv_inference_compute_output_duration_us",
        "nv_inference_pending_request_count",
    ):  # fmt: skip
        assert found[name, MODEL] == 0
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        assert found["nv_inference_request_failure", tuple(sorted((*MODEL, ("reason", reason))))] == 0
    assert found["nv_model_load_duration_secs", MODEL] > 0


def test_a_long_page_has_nobody_wait_while_python_looks_for_garbage(loopback: ServeOptions, tmp_path: Path):
    looked: list[str] = []

    def looks(_: str, __: dict[str, int]) -> None:
        looked.append(threading.current_thread().name)

    with Server(Engine(tmp_path), loopback) as server:
        metrics = server.engine.custom_metrics
        family = metrics.open("many", "Many", MetricKind.GAUGE)
        for number in range(5000):
            metrics.open_series(family, {"number": str(number)}, None)
        gc.callbacks.append(looks)
        try:
            page = scrape(server)
        finally:
            gc.callbacks.remove(looks)
    assert page.count("\nmany{") == 5000
    assert not [name for name in looked if name.startswith("metrics")]
    assert gc.isenabled()


def test_types_are_triton_s_and_names_have_no_total_behind_them(counted: Server):
    text = scrape(counted)
    assert "# TYPE nv_inference_request_success counter\n" in text
    assert "# TYPE nv_inference_pending_request_count gauge\n" in text
    assert "_total{" not in text


def test_requests_are_counted(counted: Server):
    for rows in (1, 3):
        infer(counted, rows)
    found = samples(counted)
    assert found["nv_inference_request_success", MODEL] == 2
    assert found["nv_inference_count", MODEL] == 4
    assert found["nv_inference_exec_count", MODEL] == 2
    statistics = counted.engine.model("counted").statistics
    for name, nanoseconds in (
        ("request", statistics.success_ns),
        ("queue", statistics.queue_ns),
        ("compute_input", statistics.compute_input_ns),
        ("compute_infer", statistics.compute_infer_ns),
        ("compute_output", statistics.compute_output_ns),
    ):
        assert found[f"nv_inference_{name}_duration_us", MODEL] == nanoseconds // 1000
    assert (
        found["nv_inference_request_duration_us", MODEL] >= found["nv_inference_compute_infer_duration_us", MODEL] > 0
    )


def failures(server: Server, name: str) -> dict[str, float]:
    model = ("model", name)
    return {
        dict(labels)["reason"]: value
        for (family, labels), value in samples(server).items()
        if family == "nv_inference_request_failure" and model in labels and value
    }


def test_failures_are_counted_by_their_reason(tmp_path: Path, loopback: ServeOptions):
    one_at_a_time = (
        'backend: "onnxruntime" max_batch_size: 1 dynamic_batching { default_queue_policy { max_queue_size: 1 } }'
    )
    write_model(tmp_path, "slow", onnx_models.slow_identity(rounds=2000), one_at_a_time)
    write_model(tmp_path, "failing", onnx_models.picky())
    row = {"INPUT0": np.ones((1, 4), np.float32)}
    with Server(Engine(tmp_path), loopback) as running:
        with pytest.raises(ServerError):
            running.engine.infer("failing", {"INPUT0": np.ones((1, 5), np.float32)})
        assert failures(running, "failing") == {"BACKEND": 1}

        ended: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
        requests = [InferenceRequest("slow", dict(row), reply=ended.put) for _ in range(3)]
        running.engine.submit(requests[0])
        while running.engine.model("slow").pending:  # until it runs
            time.sleep(0.001)
        for request in requests[1:]:
            running.engine.submit(request)
        assert "maximum queue size" in str(ended.get(timeout=60).error)
        requests[1].cancel()
        assert ended.get(timeout=60).error is not None
        assert failures(running, "slow") == {"REJECTED": 1, "CANCELED": 1}
        assert ended.get(timeout=60).error is None


def test_scrapes_of_many_models_do_not_hold_up_the_others(tmp_path: Path, loopback: ServeOptions):
    for number in range(40):
        write_model(tmp_path, f"m{number}", onnx_models.identity(), "instance_group { kind: KIND_CPU }")
    with Server(Engine(tmp_path), loopback) as running, ThreadPoolExecutor(4) as pool:
        pages = [pool.submit(scrape, running) for _ in range(4)]
        assert httpx.get(f"http://127.0.0.1:{running.http_port}/v2/health/live").status_code == 200
        for page in pages:
            assert page.result().count('nv_inference_count{model="m') == 40


class OneGpu:
    """A machine with one GPU that has used some energy before."""

    cpu, gpu = False, True

    def __init__(self, energy: float | None) -> None:
        self.use(energy)

    def use(self, energy: float | None) -> None:
        self.usage = SystemUsage(0.0, 0, 0, [GpuUsage("GPU-1", 0.5, 1000, 10, 70.0, 300.0, energy)])

    def energy(self, collector: ServerCollector) -> list[float]:
        (family,) = (family for family in collector.collect() if family.name == "nv_energy_consumption")
        return [sample.value for sample in family.samples]


def test_energy_counts_from_the_start_of_the_server():
    machine = OneGpu(5000.0)
    collector = ServerCollector(Engine(), machine)
    assert machine.energy(collector) == [0.0]
    machine.use(5012.5)
    assert machine.energy(collector) == [12.5]


def test_energy_that_could_not_be_read_at_first_counts_from_the_first_reading():
    machine = OneGpu(None)
    collector = ServerCollector(Engine(), machine)
    assert machine.energy(collector) == []
    machine.use(5000.0)
    assert machine.energy(collector) == [0.0]
    machine.use(5001.0)
    assert machine.energy(collector) == [1.0]


def test_the_gauges_survive_a_full_descriptor_table():
    code = """if 1:
        import os, resource, sys, time
        from tcli_server.observability.log import LogOptions, configure_log
        from tcli_server.observability.system import SystemPoller
        def wait_for(what):
            deadline = time.monotonic() + 60
            while not what():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        configure_log(LogOptions(file=sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        poller = SystemPoller(10)
        poller.start()
        first = poller.usage
        wait_for(lambda: poller.usage is not first)
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        wait_for(lambda: os.path.getsize(sys.argv[1]))
        while taken:
            os.close(taken.pop())
        stuck = poller.usage
        wait_for(lambda: poller.usage is not stuck)
        poller.stop()
        print("alive")"""
    with tempfile.NamedTemporaryFile() as log:
        done = subprocess.run(
            [sys.executable, "-c", code, log.name], capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.stdout, done.stderr) == ("alive\n", "")
        (line,) = log.read().decode().splitlines()
        assert "cannot read the machine's gauges, which stay as they are" in line


def test_series_disappear_with_the_model_and_start_again_at_zero(counted: Server):
    infer(counted)
    counted.engine.unload("counted")
    assert not [name for name, _ in samples(counted) if name.startswith("nv_inference")]
    counted.engine.load("counted")
    assert samples(counted)["nv_inference_request_success", MODEL] == 0


def test_metric_tags_are_labels(tmp_path: Path, loopback: ServeOptions):
    config = 'backend: "onnxruntime" metric_tags { key: "team" value: "a \\"b\\"\\\\c" }'
    write_model(tmp_path, "counted", onnx_models.identity(), config)
    with Server(Engine(tmp_path), loopback) as running:
        assert samples(running)["nv_inference_request_success", TAGGED] == 0


def test_cpu_and_memory(counted: Server):
    found = samples(counted)
    assert 0 <= found["nv_cpu_utilization", ()] <= 1
    assert found["nv_cpu_memory_total_bytes", ()] == psutil.virtual_memory().total
    assert 0 < found["nv_cpu_memory_used_bytes", ()] < found["nv_cpu_memory_total_bytes", ()]


def test_gpu_families_only_where_there_is_a_gpu(counted: Server):
    gpus = [labels for name, labels in samples(counted) if name == "nv_gpu_memory_total_bytes"]
    assert len(gpus) == gpu_count()


def test_families_can_be_switched_off(tmp_path: Path, loopback: ServeOptions):
    write_model(tmp_path, "counted", onnx_models.identity())
    options = dataclasses.replace(loopback, allow_cpu_metrics=False, allow_gpu_metrics=False)
    with Server(Engine(tmp_path), options) as running:
        assert all(name.startswith(("nv_inference_", "nv_model_", "nv_pinned_")) for name, _ in samples(running))


def test_other_paths_are_empty_and_other_methods_refused(counted: Server):
    base = f"http://127.0.0.1:{counted.metrics_port}"
    other = httpx.get(f"{base}/other")
    assert (other.status_code, other.content) == (200, b"")
    assert httpx.post(f"{base}/metrics").status_code == 405
    assert httpx.get(f"{base}/metrics?x=1").text.startswith("# HELP")
