"""A sequence whose HTTP client ends in the middle of a request: the model hears of it, and the slot is free at once."""

import json
import time
from pathlib import Path

import pytest

from http_wire import Wire, post
from python_models import write_python_model
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until

CONFIG = """
backend: "python"
max_batch_size: 1
input { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] }
output { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }
sequence_batching { STRATEGY max_sequence_idle_microseconds: 3600000000 }
"""

MODEL = """
import time


class TritonPythonModel:
    def execute(self, requests):
        request, = requests
        value = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
        while value == 0 and not request.is_cancelled():
            time.sleep(0.01)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", value)])]
"""


def asked(value: int, sequence: str | int) -> bytes:
    tensor = {"name": "IN", "datatype": "INT32", "shape": [1, 1], "data": [value]}
    parameters = {"sequence_id": sequence, "sequence_start": True, "sequence_end": value != 0}
    return post(json.dumps({"parameters": parameters, "inputs": [tensor]}).encode(), "/v2/models/stateful/infer")


@pytest.mark.parametrize("strategy", ["direct { }", "oldest { max_candidate_sequences: 1 }"])
def test_a_client_that_ends_frees_the_only_slot(tmp_path: Path, loopback: ServeOptions, strategy: str):
    write_python_model(tmp_path, "stateful", MODEL, CONFIG.replace("STRATEGY", strategy))
    with Server(Engine(tmp_path), loopback) as server:
        statistics = server.engine.model("stateful").statistics
        with Wire(server.http_port) as leaving:
            leaving.send(asked(0, "one"))
            until(lambda: server.engine.model("stateful").pending == 0 and not server.engine.model("stateful").idle)
        start = time.monotonic()
        with Wire(server.http_port) as other:
            other.send(asked(7, 2))
            assert json.loads(other.read().body)["outputs"][0]["data"] == [7]
        assert time.monotonic() - start < 60  # of an hour that an idle sequence has
        assert statistics.failure_count["CANCELED"] == 1
