"""Requests that leave out inputs which the model file has values for: alone, in batches, and what cannot be left out."""

from pathlib import Path

import numpy as np
import pytest

import onnx_models
from repositories import write_model
from scheduled import HOUR_US, Answers
from tcli_server import Engine, InferenceRequest
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.check import check_model
from tcli_server.repository import model_folders


def config(together: int = 0, max_batch_size: int = 8) -> str:
    dims = "3" if max_batch_size else "-1, 3"
    wait = f"preferred_batch_size: {together} max_queue_delay_microseconds: {HOUR_US}" if together else ""
    tensors = "".join(
        f'input {{ name: "{name}" data_type: TYPE_FP32 dims: [ {dims} ] optional: {str(name != "INPUT0").lower()} }}\n'
        for name in ("INPUT0", "BIAS", "SCALE")
    ) + "".join(f'output {{ name: "OUTPUT{i}" data_type: TYPE_FP32 dims: [ {dims} ] }}\n' for i in (0, 1))
    scheduler = f"dynamic_batching {{ {wait} }}" if max_batch_size else ""
    return (
        f'backend: "onnxruntime" max_batch_size: {max_batch_size}\n{tensors}{scheduler}\n'
        "instance_group { count: 1 kind: KIND_CPU }"
    )


def serve(folder: Path, text: str, model: bytes | None = None) -> Engine:
    write_model(folder, "m", model or onnx_models.defaulted(), text)
    return Engine(folder)


def rows(value: float, count: int = 1) -> np.ndarray:
    return np.full((count, 3), value, np.float32)


@pytest.mark.parametrize("max_batch_size", [0, 8])
def test_what_is_left_out_has_the_value_of_the_file(tmp_path: Path, max_batch_size: int):
    with serve(tmp_path, config(max_batch_size=max_batch_size)) as engine:
        outputs = engine.infer("m", {"INPUT0": rows(1, 2)}).outputs
        assert outputs["OUTPUT0"].tolist() == [[11, 21, 31]] * 2
        assert outputs["OUTPUT1"].tolist() == [[2, 2, 2]] * 2
        outputs = engine.infer("m", {"INPUT0": rows(1, 2), "BIAS": rows(5, 2)}).outputs
        assert outputs["OUTPUT0"].tolist() == [[6, 6, 6]] * 2
        with pytest.raises(InvalidArgumentError, match=r"missing required input\(s\) \['INPUT0'\]"):
            engine.infer("m", {"BIAS": rows(5), "SCALE": rows(5)})
        with pytest.raises(InvalidArgumentError, match="unexpected shape for input 'BIAS'"):
            engine.infer("m", {"INPUT0": rows(1, 2), "BIAS": rows(5, 2)[:, :2]})


def test_only_requests_that_leave_out_the_same_share_a_batch(tmp_path: Path):
    answers = Answers()
    given = [{"BIAS"}, {"BIAS"}, set(), set(), {"SCALE"}, {"SCALE"}, {"BIAS", "SCALE"}, {"SCALE", "BIAS"}]
    with serve(tmp_path, config(together=2)) as engine:
        for index, names in enumerate(given):
            inputs = {"INPUT0": rows(index), **{name: rows(7) for name in names}}
            engine.submit(InferenceRequest("m", inputs, id=str(index), reply=answers))
        for response in answers.wait(len(given)):
            index = int(response.id)
            bias = rows(7) if "BIAS" in given[index] else np.array([[10, 20, 30]], np.float32)
            assert response.error is None
            assert np.array_equal(response.outputs["OUTPUT0"], index + bias)
            assert np.array_equal(response.outputs["OUTPUT1"], rows(index * (7 if "SCALE" in given[index] else 2)))
        statistics = engine.model("m").statistics
        assert (statistics.inference_count, statistics.execution_count, statistics.success_count) == (8, 4, 8)


def test_a_value_that_fits_no_other_batch_is_refused(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.defaulted(rows=2), config())
    (problem,) = check_model(model_folders([tmp_path])["m"][0])
    assert problem.field == "input[1].optional"
    assert "'BIAS' is not one that fits any batch: [ 2, 3 ]" in problem.expected
    with Engine(tmp_path) as engine:
        assert not engine.model_ready("m")
    write_model(tmp_path, "m", onnx_models.defaulted(rows=2), config(max_batch_size=0))
    assert check_model(model_folders([tmp_path])["m"][0]) == []
    with Engine(tmp_path) as engine:
        assert engine.infer("m", {"INPUT0": rows(1, 2)}).outputs["OUTPUT0"].tolist() == [[11, 21, 31]] * 2
