"""Models that fork processes of their own."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from python_models import write_python_model
from tcli_server.engine import Engine
from tcli_server.errors import UnavailableError
from waiting import until

CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_INT32 dims: [1] }
output { name: "JSON" data_type: TYPE_STRING dims: [1] }
"""
FORKING = """
import json
import os
import signal


class TritonPythonModel:
    def initialize(self, args):
        self.child = 0

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        if request.request_id() == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        there, here = os.pipe()
        child = os.fork()
        if not child:
            try:
                pb_utils.InferenceRequest(model_name="m", inputs=[], requested_output_names=[]).exec()
            except pb_utils.TritonModelException as error:
                pb_utils.Logger.log_info("logged in a child")
                os.write(here, str(error).encode())
            signal.pause()
            os._exit(0)
        text = json.dumps([os.getpid(), child, os.read(there, 1000).decode()])
        return pb_utils.InferenceResponse([pb_utils.Tensor("JSON", np.array([text], np.object_))])
"""
IN = {"IN": np.zeros(1, np.int32)}


def test_a_forked_process_is_told_that_it_cannot_ask_and_keeps_nothing_up(tmp_path: Path):
    write_python_model(tmp_path, "m", FORKING, CONFIG)
    with Engine(tmp_path) as engine:
        parent, child, error = json.loads(engine.infer("m", IN).outputs["JSON"][0])
        children = [child]
        try:
            assert "has forked cannot ask the server" in error
            with pytest.raises(
                UnavailableError, match="ended by SIGKILL"
            ):  # its child lives on, with all that it inherited
                engine.infer("m", IN, request_id="die")
            until(lambda: engine.model_ready("m"))
            again, child, _ = json.loads(engine.infer("m", IN).outputs["JSON"][0])
            children.append(child)
            assert again != parent
        finally:
            for process in children:
                os.kill(process, signal.SIGKILL)
