"""Models whose answers are kept: what runs and what does not, counters, and what is never kept."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

import onnx_models
from ensemble_models import ensemble, write_ensemble
from repositories import write_model
from tcli_server import Engine, EngineOptions
from tcli_server.backends.onnxruntime.session import OnnxRuntimeInstance
from tcli_server.errors import InternalError
from tcli_server.models.check import check_repository
from tcli_server.serving import ServeOptions, Server

CONFIG = 'backend: "onnxruntime" max_batch_size: 8 dynamic_batching { } response_cache { enable: true }'
CACHE = EngineOptions(response_cache_byte_size=1 << 20, model_control_mode="explicit", load_models=("*",))
LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
PAIR = {name: np.ones((2, 16), np.float32) for name in ("INPUT0", "INPUT1")}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path, "kept", onnx_models.add_sub(), CONFIG)
    write_model(tmp_path, "plain", onnx_models.add_sub(), CONFIG.replace("response_cache { enable: true }", ""))
    return tmp_path


def test_what_was_asked_before_does_not_run_again_and_is_counted_as_a_hit(repository: Path):
    with Engine(repository, options=CACHE) as engine:
        for _ in range(3):
            outputs = engine.infer("kept", PAIR).outputs
            assert outputs["OUTPUT0"].tolist() == [[2.0] * 16] * 2
        message = engine.statistics("kept").model_stats[0]
        times = message.inference_stats
        assert (message.inference_count, message.execution_count) == (2, 1)
        assert (times.success.count, times.queue.count, times.compute_infer.count) == (3, 3, 1)
        assert (times.cache_hit.count, times.cache_miss.count) == (2, 1)
        assert times.cache_hit.ns > 0
        assert times.cache_miss.ns > 0
        assert engine._pending.held == 0
        for _ in range(2):
            engine.infer("plain", PAIR)
        assert engine.model("plain").statistics.execution_count == 2


def test_other_outputs_and_other_values_are_other_answers(repository: Path):
    with Engine(repository, options=CACHE) as engine:
        assert engine.infer("kept", PAIR, outputs=["OUTPUT1"]).outputs.keys() == {"OUTPUT1"}
        assert engine.infer("kept", PAIR).outputs.keys() == {"OUTPUT0", "OUTPUT1"}
        other = {**PAIR, "INPUT0": PAIR["INPUT0"] * 3}
        assert engine.infer("kept", other).outputs["OUTPUT0"][0, 0] == 4
        assert engine.model("kept").statistics.hit_count == 0


def test_a_model_that_is_loaded_anew_has_nothing_kept(repository: Path):
    with Engine(repository, options=CACHE) as engine:
        engine.infer("kept", PAIR)
        write_model(repository, "kept", onnx_models.add_sub(), CONFIG + " # changed")
        engine.load("kept")
        engine.infer("kept", PAIR)
        assert engine.model("kept").statistics.hit_count == 0


def test_errors_are_not_kept(repository: Path, monkeypatch: pytest.MonkeyPatch):
    run, fails = OnnxRuntimeInstance.run, [True]

    def failing(
        instance: OnnxRuntimeInstance, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        if fails:
            raise InternalError("no")
        return run(instance, inputs, outputs)

    monkeypatch.setattr(OnnxRuntimeInstance, "run", failing)
    with Engine(repository, options=CACHE) as engine:
        for _ in range(2):
            with pytest.raises(InternalError, match="no"):
                engine.infer("kept", PAIR)
        fails.clear()
        assert engine.infer("kept", PAIR).outputs["OUTPUT0"][0, 0] == 2
        statistics = engine.model("kept").statistics
        assert (statistics.hit_count, statistics.fail_count, statistics.success_count) == (0, 2, 1)


def test_large_inputs_are_hashed_elsewhere_and_found_all_the_same(tmp_path: Path):
    write_model(tmp_path, "kept", onnx_models.identity(shape=("N", "M")), CONFIG)
    large = {"INPUT0": np.ones((1, 100_000), np.float32)}
    with Engine(tmp_path, options=CACHE) as engine:
        for _ in range(3):
            assert engine.infer("kept", large).outputs["OUTPUT0"].shape == (1, 100_000)
        assert engine.model("kept").statistics.hit_count == 2


def test_many_at_once_get_their_own_answers_and_the_counters_add_up(repository: Path):
    with Engine(repository, options=CACHE) as engine, ThreadPoolExecutor(16) as clients:

        def ask(number: int) -> bool:
            value = float(number % 20)
            inputs = {"INPUT0": np.full((1, 16), value, np.float32), "INPUT1": np.zeros((1, 16), np.float32)}
            return bool((engine.infer("kept", inputs).outputs["OUTPUT0"] == value).all())

        assert all(clients.map(ask, range(1000)))
        statistics = engine.model("kept").statistics
        assert statistics.success_count == 1000 == statistics.hit_count + statistics.miss_count
        assert statistics.inference_count == statistics.miss_count >= 20
        assert engine.response_cache.use().entries == 20
        assert engine._pending.held == 0


def test_an_ensemble_that_is_kept_runs_no_step(repository: Path):
    steps = [("plain", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "S"})]
    write_ensemble(repository, "pipe", ensemble(["A", "B"], ["S"], steps, more="response_cache { enable: true }"))
    with Engine(repository, options=CACHE) as engine:
        for _ in range(3):
            outputs = engine.infer("pipe", {"A": PAIR["INPUT0"], "B": PAIR["INPUT1"]}).outputs
            assert outputs["S"][0, 0] == 2
        assert engine.model("plain").statistics.success_count == 1
        assert engine.model("pipe").statistics.hit_count == 2


def test_without_a_cache_the_model_loads_with_a_warning(repository: Path, caplog: pytest.LogCaptureFixture):
    with Engine(repository) as engine:
        engine.infer("kept", PAIR)
        engine.infer("kept", PAIR)
        assert engine.model("kept").statistics.execution_count == 2
    assert "'kept' wants its responses cached" in caplog.text


def test_an_answer_larger_than_the_cache_is_told_of_once(repository: Path, caplog: pytest.LogCaptureFixture):
    options = EngineOptions(response_cache_byte_size=200)
    with Engine(repository, options=options) as engine:
        for _ in range(3):
            assert engine.infer("kept", PAIR).outputs["OUTPUT0"][0, 0] == 2
        assert (engine.model("kept").statistics.hit_count, engine.model("kept").statistics.miss_count) == (0, 3)
    assert (
        caplog.text.count("Failed to insert key into response cache: an answer of 'kept' is larger than all its 200")
        == 1
    )


def test_an_ensemble_said_to_be_decoupled_does_not_go_with_a_cache(repository: Path):
    steps = [("plain", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "S"})]
    more = "response_cache { enable: true } model_transaction_policy { decoupled: true }"
    write_ensemble(repository, "pipe", ensemble(["A", "B"], ["S"], steps, more=more))
    assert [problem.field for problem in check_repository(repository)] == ["response_cache.enable"]


@pytest.mark.parametrize("more", ["sequence_batching { }", "dynamic_batching { preserve_ordering: true }"])
def test_what_does_not_go_with_a_cache_is_refused(tmp_path: Path, more: str):
    write_model(tmp_path, "kept", onnx_models.add_sub(), CONFIG.replace("dynamic_batching { }", more))
    assert [problem.field for problem in check_repository(tmp_path)] == ["response_cache.enable"]


def test_metrics_show_the_cache(repository: Path):
    with Server(Engine(repository, options=CACHE), LOOPBACK) as running:
        for _ in range(3):
            running.engine.infer("kept", PAIR)
        page = httpx.get(f"http://127.0.0.1:{running.metrics_port}/metrics").text.splitlines()
    for line in (
        'nv_cache_num_hits_per_model{model="kept",version="1"} 2',
        'nv_cache_num_misses_per_model{model="kept",version="1"} 1',
        "nv_cache_num_entries 1",
        "nv_cache_num_lookups 3",
        "nv_cache_num_hits 2",
        "nv_cache_num_misses 1",
        "nv_cache_num_evictions 0",
    ):
        assert line in page
    assert not any('model="plain"' in line for line in page if line.startswith("nv_cache"))
