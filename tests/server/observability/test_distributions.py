"""Histograms and summaries of requests' times: what a scrape shows of them, and what `--metrics-config` and models may choose."""

import contextlib
import math
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import onnx_models
from decoupled_python_models import SPEAK, SPEAK_CONFIG
from python_models import write_python_model
from repositories import write_model
from tcli_server import Engine, EngineOptions, ServerError
from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.distributions import Summary
from tcli_server.observability.metrics_options import MetricsOptions, parse_metrics_config
from tcli_server.serving import ServeOptions, Server

BUCKETS = """max_batch_size: 8 model_metrics { metric_control {
  metric_identifier { family: "tcli_request_duration_seconds" } histogram_options { buckets: [0.5, 1e9] } } }"""
OPTIONS = EngineOptions(
    response_cache_byte_size=1 << 20,
    metrics=MetricsOptions(
        counter_latencies=False, histogram_latencies=True, summary_latencies=True, summary_quantiles=(0, 0.5, 1)
    ),
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`plain` answered 3 and 2 rows, `cached` one row twice, `speak` two words, no word and an error."""
    root = tmp_path_factory.mktemp("distributions")
    write_model(root, "plain", onnx_models.identity(), BUCKETS)
    write_model(root, "cached", onnx_models.identity(), "response_cache { enable: true }")
    write_python_model(root, "speak", SPEAK, SPEAK_CONFIG)
    services = ServeOptions(http_port=0, http_address="127.0.0.1", allow_http=False, allow_grpc=False, metrics_port=0)
    with Server(Engine(root, options=OPTIONS), services) as server:
        for model, rows in (("plain", 3), ("plain", 2), ("cached", 1), ("cached", 1)):
            server.engine.infer(model, {"INPUT0": np.zeros((rows, 4), np.float32)})
        for words, parameters in (("two words", {}), ("", {}), ("", {"fails": True})):
            inputs = {"PROMPT": np.array([words.encode()], np.object_)}
            with contextlib.suppress(ServerError):  # as it was asked to
                list(server.engine.infer_stream("speak", inputs, parameters=parameters))
        yield server


@pytest.fixture(scope="module")
def page(asked: Server) -> str:
    return httpx.get(f"http://127.0.0.1:{asked.metrics_port}/metrics").text


def of(page: str, name: str, model: str, label: str = "") -> Mapping[str, float]:
    """The samples of a name and a model, by the value of a label."""
    return {
        sample.labels.get(label, ""): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and sample.labels.get("model") == model
    }


def test_the_time_of_a_request_is_counted_in_buckets_that_a_model_may_choose(page: str):
    assert [*of(page, "tcli_request_duration_seconds_bucket", "plain", "le").items()][1:] == [
        ("1000000000", 2),
        ("+Inf", 2),
    ]
    assert of(page, "tcli_request_duration_seconds_count", "plain") == {"": 2}
    assert of(page, "tcli_request_duration_seconds_count", "cached") == {"": 2}, "a hit is answered, too"
    assert 0 < of(page, "tcli_request_duration_seconds_sum", "plain")[""] < 1000
    assert len(of(page, "tcli_request_duration_seconds_bucket", "cached", "le")) == 19


def test_executions_are_counted_by_the_size_of_their_batch(page: str):
    sizes = of(page, "tcli_batch_size_bucket", "plain", "le")
    assert [sizes[bound] for bound in ("1", "2", "4", "1024", "+Inf")] == [0, 1, 2, 2, 2]
    assert of(page, "tcli_batch_size_sum", "plain") == {"": 5}
    assert of(page, "tcli_batch_size_count", "cached") == {"": 1}


def test_the_first_response_is_timed_of_decoupled_models_alone(page: str):
    name = "nv_inference_first_response_histogram_ms"
    assert of(page, f"{name}_count", "speak") == {"": 1}, "no response and an error are none"
    assert of(page, f"{name}_count", "plain") == {}
    assert [*of(page, f"{name}_bucket", "speak", "le")] == ["100", "500", "2000", "5000", "+Inf"]
    assert of(page, f"{name}_sum", "speak")[""] > 0


def test_summaries_have_the_quantiles_that_were_asked_for_and_go_with_the_statistics(asked: Server, page: str):
    statistics = asked.engine.model("plain").statistics
    for name, ns in (
        ("request", statistics.success_ns),
        ("queue", statistics.queue_ns),
        ("compute_input", statistics.compute_input_ns),
        ("compute_infer", statistics.compute_infer_ns),
        ("compute_output", statistics.compute_output_ns),
    ):
        family = f"nv_inference_{name}_summary_us"
        assert of(page, f"{family}_count", "plain") == {"": 2}
        assert of(page, f"{family}_sum", "plain") == {"": ns // 1000}
        low, median, high = of(page, family, "plain", "quantile").values()
        assert [*of(page, family, "plain", "quantile")] == ["0", "0.5", "1"]
        assert low == median <= high
        assert low + high == pytest.approx(ns / 1000, rel=0.01), "two observations, so these are all"


def test_a_cached_model_has_summaries_of_hits_and_misses_and_none_of_requests(page: str):
    assert of(page, "nv_cache_hit_summary_per_model_count", "cached") == {"": 1}
    assert of(page, "nv_cache_miss_summary_per_model_count", "cached") == {"": 1}
    assert of(page, "nv_inference_queue_summary_us_count", "cached") == {"": 2}
    assert of(page, "nv_inference_compute_infer_summary_us_count", "cached") == {"": 1}
    assert of(page, "nv_inference_request_summary_us_count", "cached") == {}
    assert of(page, "nv_cache_hit_summary_per_model_count", "plain") == {}


def test_sums_of_durations_can_be_left_out_and_requests_still_count(page: str):
    assert "_duration_us" not in page
    assert "nv_cache_hit_duration_per_model" not in page
    assert of(page, "nv_inference_request_success_total", "plain") == {"": 2}


def test_what_is_not_asked_for_is_not_there(tmp_path: Path):
    write_model(tmp_path, "plain", onnx_models.identity())
    with Engine(tmp_path) as engine:
        assert engine.model("plain").statistics.distributions is None


def test_prometheus_has_nothing_to_say_of_our_own_families(page: str):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool")
    judged = subprocess.run([promtool, "check", "metrics"], input=page, text=True, capture_output=True)
    lint = judged.stdout + judged.stderr
    assert "error" not in lint, lint
    assert not [line for line in lint.splitlines() if line.startswith(("tcli_request", "tcli_batch", "nv_pinned"))]


def test_a_summary_forgets_what_is_older_than_a_minute():
    now = time.monotonic_ns()
    summary = Summary()
    assert all(map(math.isnan, summary.quantiles([0.5], now)))
    for ns in range(1, 1001):
        summary.observe(ns * 1000, now)
    found = summary.quantiles([0, 0.5, 0.9, 0.99, 1], now + 40 * 10**9)
    assert found == pytest.approx([1e3, 500e3, 900e3, 990e3, 1000e3], rel=0.008)
    summary.observe(7, now + 40 * 10**9)
    assert summary.quantiles([0.5], now + 70 * 10**9) == [7]
    assert all(map(math.isnan, summary.quantiles([0.5], now + 600 * 10**9)))
    assert (summary.count, summary.total_ns) == (1001, sum(range(1, 1001)) * 1000 + 7)


def test_metrics_config_is_read_as_triton_s():
    assert parse_metrics_config([]) == MetricsOptions()
    found = parse_metrics_config(
        ["counter_latencies=false", "summary_latencies=true", "summary_quantiles=0.99:0.001,0.5:0.05"]
    )
    assert found == MetricsOptions(False, False, True, (0.5, 0.99))


@pytest.mark.parametrize("setting", [
    "summaries=true", "summary_latencies", "histogram_latencies=maybe", "summary_quantiles=0.5", "summary_quantiles=",
    "summary_quantiles=1.5:0.1", "summary_quantiles=nan:0.1",
])  # fmt: skip
def test_a_wrong_metrics_config_is_refused_with_what_is_expected(setting: str):
    with pytest.raises(InvalidArgumentError, match=r"expected"):
        parse_metrics_config([setting])
