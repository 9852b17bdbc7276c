"""Sequences whose Python model dies: none goes on with a state that is gone."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from python_models import write_python_model
from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError, UnavailableError
from waiting import until

COUNTING = """
import os


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        if request.request_id() == "die":
            os._exit(1)
        key = request.correlation_id()
        if request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            self.sums[key] = 0
        self.sums[key] += int(pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy().sum())
        outputs = [("OUTPUT0", self.sums[key]), ("PROCESS", os.getpid())]
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, np.array([value], np.int32)) for name, value in outputs]
        )
"""
CONFIG = """
backend: "python"
input { name: "INPUT0" data_type: TYPE_INT32 dims: [ 1 ] }
output { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 1 ] }
output { name: "PROCESS" data_type: TYPE_INT32 dims: [ 1 ] }
sequence_batching { %s max_sequence_idle_microseconds: 60000000 }
"""


class Sequences:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.process = 0

    def send(self, sequence: int, value: int, request_id: str = "", start: bool = False) -> int:
        inputs = {"INPUT0": np.array([value], np.int32)}
        response = self.engine.infer(
            "m", inputs, sequence_id=sequence, sequence_start=start, request_id=request_id, timeout_us=0
        )
        self.process = int(response.outputs["PROCESS"][0])
        return int(response.outputs["OUTPUT0"][0])


@pytest.mark.parametrize("strategy", ["direct { }", "oldest { max_candidate_sequences: 4 }"])
def test_a_sequence_ends_with_the_process_that_knew_its_state(tmp_path: Path, strategy: str):
    write_python_model(tmp_path, "m", COUNTING, CONFIG % strategy)
    with Engine(tmp_path) as engine:
        sequences = Sequences(engine)
        assert sequences.send(1, 5, start=True) == 5
        assert sequences.send(1, 2) == 7
        os.kill(sequences.process, signal.SIGKILL)
        until(lambda: engine.model("m").instances[0].instance.restarts == 1)
        until(lambda: engine.model_ready("m"))
        with pytest.raises(
            UnavailableError, match="ended, and with it the state of sequence 1; fix: start the sequence anew"
        ):
            sequences.send(1, 3)
        with pytest.raises(InvalidArgumentError, match="START"):
            sequences.send(1, 3)
        assert sequences.send(1, 4, start=True) == 4
        assert sequences.send(1, 4) == 8


def test_a_sequence_whose_request_kills_the_process_is_told_so(tmp_path: Path):
    write_python_model(tmp_path, "m", COUNTING, CONFIG % "oldest { max_candidate_sequences: 4 }")
    with Engine(tmp_path) as engine:
        sequences = Sequences(engine)
        assert sequences.send(1, 5, start=True) == 5
        assert sequences.send(2, 6, start=True) == 6
        with pytest.raises(InternalError, match="ended with status 1"):
            sequences.send(1, 5, "die")

        def is_told() -> bool:
            with pytest.raises(UnavailableError, match=r"the state of sequence 2|is being replaced") as told:
                sequences.send(2, 1)
            return "the state of sequence 2" in str(told.value)

        until(is_told)  # those that come before the new process is there are told that it is being replaced
        assert sequences.send(3, 7, start=True) == 7
