"""What an analysis on this machine stands on is found out, and nobody waits for that who wants the end."""

import threading

import psutil
import pytest

from python_models import write_python_model
from tcli_analyzer.ground.local import load_patience, local_ground
from tcli_analyzer.measuring.watch import Stopped
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.subject import find_model
from tcli_analyzer.workspace import Workspace

CONFIG = """
backend: "python"
max_batch_size: 64
input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] }
"""

HANGS_IN_BATCHES = """
import time

class TritonPythonModel:
    def execute(self, requests):
        values = [pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy() for request in requests]
        if sum(map(len, values)) > 1:
            time.sleep(3600)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", value)]) for value in values]
"""


def test_who_stops_need_not_wait_until_batches_are_checked(tmp_path):
    write_python_model(tmp_path, "hangs", HANGS_IN_BATCHES, CONFIG)
    stop = threading.Event()
    told = []

    def note(text: str) -> None:
        told.append(text)
        if text.startswith("checking"):
            stop.set()

    before = set(psutil.Process().children())
    options = AnalysisOptions("hangs", (tmp_path,))
    try:
        with (
            Workspace(find_model([tmp_path], "hangs")) as workspace,
            pytest.raises(Stopped),
            local_ground(options, workspace, note, stop),
        ):
            pass
    finally:
        for checking in set(psutil.Process().children()) - before:
            checking.kill()
    assert told == [
        "loading the model (given up after 15 min) ...",
        "checking on random items that a batch gives what single items give ...",
    ]


def test_a_load_is_not_waited_for_longer_than_the_whole_may_take():
    assert [load_patience(most) for most in (None, 5.0, 120.0, 7200.0)] == [900.0, 30.0, 120.0, 900.0]
