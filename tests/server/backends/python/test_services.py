"""Python models in their own processes, as they log, measure and control other models."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import onnx_models
from python_models import IDENTITY, IDENTITY_CONFIG, write_python_model
from repositories import write_model
from tcli_server.engine import Engine
from tcli_server.errors import ServerError
from tcli_server.options import EngineOptions
from tcli_server.serving import ServeOptions, Server
from waiting import until

COUNTING = """
class TritonPythonModel:
    def initialize(self, args):
        self.family = pb_utils.MetricFamily("requests_seen", "Requests", pb_utils.MetricFamily.COUNTER)
        self.metric = self.family.Metric(labels={"model": args["model_name"]})

    def execute(self, requests):
        self.metric.increment(len(requests))
        import os
        pid = np.array([os.getpid()], np.float32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", pid)]) for _ in requests]
"""
ANSWERING = """
class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        try:
            result = eval(request.request_id(), {"pb_utils": pb_utils})
        except pb_utils.TritonModelException as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.UNAVAILABLE))
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.array([bool(result)], np.float32))])
"""
ONE = {"INPUT0": np.zeros(1, np.float32)}


@pytest.fixture
def counting(tmp_path: Path, loopback: ServeOptions) -> Iterator[Server]:
    write_python_model(tmp_path, "first", COUNTING)
    write_python_model(tmp_path, "second", COUNTING)
    options = EngineOptions(model_control_mode="explicit", load_models=("first", "second"))
    with Server(Engine(tmp_path, options=options), loopback) as running:
        yield running


def shown(server: Server) -> dict[str, float]:
    """Model -> its `requests_seen`."""
    text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
    found = [
        line.removeprefix('requests_seen{model="') for line in text.splitlines() if line.startswith("requests_seen{")
    ]
    return {line.partition('"')[0]: float(line.rpartition(" ")[2]) for line in found}


def test_models_share_a_family_and_lose_their_series_with_their_process(counting: Server):
    assert shown(counting) == {"first": 0, "second": 0}
    for _ in range(3):
        response = counting.engine.infer("first", ONE)
    counting.engine.infer("second", ONE)
    assert shown(counting) == {"first": 3, "second": 1}

    os.kill(int(response.outputs["OUTPUT0"][0]), signal.SIGKILL)
    until(lambda: shown(counting) == {"first": 0, "second": 1}, "another process begins anew")
    until(lambda: counting.engine.model_ready("first"))
    counting.engine.infer("first", ONE)
    assert shown(counting) == {"first": 1, "second": 1}

    counting.engine.unload("first")
    until(lambda: shown(counting) == {"second": 1})
    counting.engine.unload("second")
    until(lambda: shown(counting) == {})


def test_series_live_on_through_a_reload(counting: Server, tmp_path: Path):
    counting.engine.infer("first", ONE)
    model = tmp_path / "first" / "1" / "model.py"
    model.write_text(model.read_text() + "\n# changed\n")
    counting.engine.load("first")
    counting.engine.infer("first", ONE)
    assert shown(counting)["first"] in (1, 2)  # 2 if the new process was there before the old one was gone


def test_a_model_logs_wherever_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    code = (
        IDENTITY.replace(
            "    def execute(self, requests):",
            "    def execute(self, requests):\n        pb_utils.Logger.log_warn('now')",
        )
        + """
    @staticmethod
    def auto_complete_config(config):
        pb_utils.Logger.log_info("before")
        family = pb_utils.MetricFamily("early", "", pb_utils.MetricFamily.GAUGE)
        family.Metric().set(1)
        return config

    def initialize(self, args):
        pb_utils.Logger.log("first", pb_utils.Logger.INFO)

    def finalize(self):
        pb_utils.Logger.log_error("last")
"""
    )
    write_python_model(tmp_path, "talking", code)
    with caplog.at_level(logging.INFO), Engine(tmp_path) as engine:
        engine.infer("talking", ONE)
    until(lambda: "talking: last" in caplog.text)
    records = [record for record in caplog.records if record.getMessage().startswith("talking: ")]
    assert [record.getMessage() for record in records] == [
        f"talking: {text}" for text in ("before", "first", "now", "last")
    ]
    assert [record.levelname for record in records] == ["INFO", "INFO", "WARNING", "ERROR"]
    file = tmp_path / "talking" / "1" / "model.py"
    assert {record.pathname for record in records} == {str(file)}
    assert "log_warn('now')" in file.read_text().splitlines()[records[2].lineno - 1]


def test_a_model_controls_others(tmp_path: Path):
    write_python_model(tmp_path, "asking", ANSWERING)
    write_model(tmp_path, "other", onnx_models.identity())
    options = EngineOptions(model_control_mode="explicit", load_models=("asking",))
    with Engine(tmp_path, options=options) as engine:

        def ask(code: str) -> float:
            return float(engine.infer("asking", ONE, request_id=code).outputs["OUTPUT0"][0])

        assert ask("pb_utils.is_model_ready('other')") == 0
        ask("pb_utils.load_model('other')")
        assert ask("pb_utils.is_model_ready('other', '1')") == 1
        assert engine.model_ready("other")
        assert ask("pb_utils.is_model_ready('asking')") == 1
        with pytest.raises(ServerError, match="Failed to load model: "):
            ask("pb_utils.load_model('nobody')")
        ask("pb_utils.unload_model('other')")
        until(lambda: not engine.model_ready("other"))


def test_large_files_are_pushed_while_others_ask(tmp_path: Path):
    write_python_model(tmp_path, "asking", ANSWERING, IDENTITY_CONFIG)
    options = EngineOptions(model_control_mode="explicit", load_models=("asking",))
    files = "{'file:1/model.py': open(%r, 'rb').read(), 'file:1/weights': bytes(20_000_000)}"
    with Engine(tmp_path, options=options) as engine:
        code = files % str(tmp_path / "asking" / "1" / "model.py")
        config = """'{"backend": "python", "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],"""
        config += """ "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}]}'"""
        engine.infer("asking", ONE, request_id=f"pb_utils.load_model('pushed', {config}, {code})")
        size = "__import__('os').path.getsize(pb_utils.get_model_dir() + '/weights') == 20_000_000"
        assert engine.infer("pushed", ONE, request_id=size).outputs["OUTPUT0"][0] == 1
