"""The metrics port, read by Prometheus' own parser."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.hardware.gpu import gpu_count
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
    assert (
        found["nv_inference_request_duration_us", MODEL] >= found["nv_inference_compute_infer_duration_us", MODEL] > 0
    )


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
        assert all(name.startswith(("nv_inference_", "nv_model_")) for name, _ in samples(running))


def test_other_paths_are_empty_and_other_methods_refused(counted: Server):
    base = f"http://127.0.0.1:{counted.metrics_port}"
    other = httpx.get(f"{base}/other")
    assert (other.status_code, other.content) == (200, b"")
    assert httpx.post(f"{base}/metrics").status_code == 405
    assert httpx.get(f"{base}/metrics?x=1").text.startswith("# HELP")
