"""A model may answer first and say afterwards that it has ended; over `/infer` only the answer counts."""

from pathlib import Path

import httpx
import numpy as np

from conftest import LOOPBACK
from python_models import write_python_model
from tcli_server import Engine
from tcli_server.serving import Server

ANSWER_THEN_END = """
    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                sender = request.get_response_sender()
                values = request.inputs()[0].as_numpy()
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", values)]))
                sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def test_the_end_does_not_overtake_an_answer_that_is_being_compressed(tmp_path: Path):
    write_python_model(tmp_path, "m", ANSWER_THEN_END)
    data = np.arange(300_000, dtype=np.float32).tolist()
    body = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [len(data)], "data": data}]}
    with Server(Engine(tmp_path), LOOPBACK) as server:
        url = f"http://127.0.0.1:{server.http_port}/v2/models/m/infer"
        answer = httpx.post(url, json=body, headers={"Accept-Encoding": "gzip"}, timeout=60)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json()["outputs"][0]["data"] == data
