"""Python models get each request by itself, so ragged inputs and optional ones only say who may share a batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from python_models import write_python_model
from scheduled import HOUR_US, Answers
from tcli_server import Engine, InferenceRequest
from tcli_server.models.check import check_model
from tcli_server.repository import model_folders

TOGETHER = """
class TritonPythonModel:
    def execute(self, requests):
        answer = pb_utils.Tensor("TOGETHER", np.array([[len(requests)]], np.int32))
        return [pb_utils.InferenceResponse([answer]) for request in requests]
"""


def config(x: str, y: str) -> str:
    return f"""
backend: "python"
max_batch_size: 8
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ -1 ] {x} }}, {{ name: "Y" data_type: TYPE_FP32 dims: [ -1 ] {y} }} ]
output {{ name: "TOGETHER" data_type: TYPE_INT32 dims: [ 1 ] }}
dynamic_batching {{ preferred_batch_size: 3 max_queue_delay_microseconds: {HOUR_US} }}
"""


def together(folder: Path, text: str, requests: Sequence[dict[str, int]]) -> list[int]:
    """How many requests each one shared its batch with; a request is the width of each input."""
    write_python_model(folder, "m", TOGETHER, text)
    answers = Answers()
    with Engine(folder) as engine:
        for index, widths in enumerate(requests):
            inputs = {name: np.ones((1, width), np.float32) for name, width in widths.items()}
            engine.submit(InferenceRequest("m", inputs, id=str(index), reply=answers))
        responses = {response.id: response for response in answers.wait(len(requests))}
    assert [response.error for response in responses.values()] == [None] * len(requests)
    return [int(responses[str(index)].outputs["TOGETHER"][0, 0]) for index in range(len(requests))]


def test_ragged_inputs_of_any_shape_share_a_batch(tmp_path: Path):
    text = config("allow_ragged_batch: true", "allow_ragged_batch: true optional: true")
    requests = [{"X": 1, "Y": 2}, {"X": 3, "Y": 1}, {"X": 2, "Y": 5}, {"X": 1}, {"X": 2}, {"X": 3}]
    assert together(tmp_path, text, requests) == [3] * 6


def test_other_shapes_and_other_inputs_do_not(tmp_path: Path):
    text = config("allow_ragged_batch: true", "optional: true")
    requests = [{"X": 1, "Y": 2}, {"X": 2, "Y": 2}, {"X": 3, "Y": 1}, {"X": 3}, {"X": 1}, {"X": 2}]
    assert together(tmp_path, text, requests) == [2, 2, 1, 3, 3, 3]


@pytest.mark.parametrize("field", ["batch_input", "batch_output"])
def test_what_a_python_model_would_never_see_is_refused(tmp_path: Path, field: str):
    target = 'target_name: "TOGETHER"' if field == "batch_output" else 'target_name: "N" data_type: TYPE_INT32'
    write_python_model(tmp_path, "m", TOGETHER, config("", "") + f'{field} {{ {target} source_input: "X" }}')
    (problem,) = check_model(model_folders([tmp_path])["m"][0])
    assert problem.field == field
    assert "gets each request by itself" in problem.expected
