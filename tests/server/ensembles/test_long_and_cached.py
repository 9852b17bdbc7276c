"""Ensembles of many steps, and of steps that are answered at once."""

import time
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from ensemble_models import ensemble, tensor, write_ensemble
from repositories import write_model
from sequence_models import sums, sums_config
from tcli_server import Engine, EngineOptions, InferenceRequest
from tcli_server.errors import NotFoundError
from tcli_server.request import InferenceResponse
from waiting import until

CACHE = EngineOptions(response_cache_byte_size=1 << 22)
CACHED = "response_cache { enable: true }"
MODEL = """backend: "onnxruntime" max_batch_size: 8
input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] }
"""
GIVEN = {"IN": np.ones((1, 4), np.float32)}


def write_chain(repository: Path, name: str, steps: int, more: str = "") -> None:
    names = ["IN", *(f"t{index}" for index in range(1, steps)), "OUT"]
    chain = [("id", {"INPUT0": names[i]}, {"OUTPUT0": names[i + 1]}) for i in range(steps)]
    write_model(repository, "id", onnx_models.identity(shape=("N", 4)), MODEL + more)
    write_ensemble(repository, name, ensemble([tensor("IN", "4")], [tensor("OUT", "4")], chain))


def test_hundreds_of_steps_that_are_answered_at_once(tmp_path: Path):
    write_chain(tmp_path, "chain", 500, CACHED)
    answers: list[InferenceResponse] = []
    with Engine(tmp_path, options=CACHE) as engine:
        for _ in range(3):
            engine.submit(InferenceRequest("chain", dict(GIVEN), reply=answers.append))
        until(lambda: len(answers) == 3 and engine.model("chain").idle)
        assert [answer.error for answer in answers] == [None] * 3
        assert engine.model("id").statistics.success_count == 1500
        assert engine.model("id").idle


def test_steps_cost_no_more_where_there_are_many(tmp_path: Path):
    write_chain(tmp_path, "short", 50)
    write_chain(tmp_path, "long", 500)
    with Engine(tmp_path) as engine:

        def cost(name: str) -> float:
            began = time.process_time()
            engine.infer(name, GIVEN)
            return time.process_time() - began

        took = {name: min(cost(name) for _ in range(5)) for name in ("short", "long")}
        assert took["long"] < 50 * took["short"]


def test_a_cache_in_front_of_a_state_is_passed_by(tmp_path: Path):
    write_model(tmp_path, "sums", sums(), sums_config("max_sequence_idle_microseconds: 3600000000"))
    steps = [("sums", {"INPUT": "IN"}, {"OUTPUT": "SUM"})]
    text = ensemble([tensor("IN", "1", "INT32")], [tensor("SUM", "1", "INT32")], steps, 4, CACHED)
    write_ensemble(tmp_path, "stateful", text)
    with Engine(tmp_path, options=CACHE) as engine:
        answers = [
            engine.infer("stateful", {"IN": np.full((1, 1), 5, np.int32)}, sequence_id=9, sequence_start=step == 0)
            for step in range(3)
        ]
    assert [int(answer.outputs["SUM"].item()) for answer in answers] == [5, 10, 15]


@pytest.mark.parametrize("elements", [4, 1 << 18])
def test_an_error_behind_a_cache_keeps_its_kind_however_large_the_request(tmp_path: Path, elements: int):
    config = MODEL.replace("[ 4 ]", f"[ {elements} ]").replace("max_batch_size: 8", "max_batch_size: 8 ")
    write_model(tmp_path, "id", onnx_models.identity(shape=("N", elements)), config)
    dims = str(elements)
    text = ensemble(
        [tensor("IN", dims)], [tensor("OUT", dims)], [("id", {"INPUT0": "IN"}, {"OUTPUT0": "OUT"})], 8, CACHED
    )
    write_ensemble(tmp_path, "cached", text)
    options = EngineOptions(response_cache_byte_size=1 << 22, model_control_mode="explicit")
    with Engine(tmp_path, options=options) as engine:
        engine.load("cached")
        ensemble_model = engine.model("cached")
        engine.unload("id")
        answers: list[InferenceResponse] = []
        request = InferenceRequest("cached", {"IN": np.ones((1, elements), np.float32)}, reply=answers.append)
        try:  # as one that found the ensemble just before its model went
            ensemble_model.submit(request)
        except NotFoundError as error:
            request.fail(error)
        until(lambda: bool(answers))
        assert isinstance(answers[0].error, NotFoundError)
