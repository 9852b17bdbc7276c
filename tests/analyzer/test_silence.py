"""Models that hang: what is measured ends all the same, and says why."""

import threading
import time

import numpy as np
import pytest

from python_models import write_python_model
from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.load.failing import StuckError
from tcli_analyzer.measuring.held import HeldLoad
from tcli_analyzer.measuring.visit import VisitOptions, visit
from tcli_analyzer.measuring.watch import Watch
from tcli_analyzer.target import Counters
from tcli_analyzer.variant import Variant, VariantDiedError
from waiting import until

SHORT = VisitOptions(seconds=0.05, warm_up_seconds=0.0, silence_seconds=0.5, longest=1000)
REQUESTS = [{"x": np.ones((1, 4), np.float32)}]
CONFIG = """
backend: "python"
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
HANGS = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    answered = 0

    def execute(self, requests):
        self.answered += 1
        if self.answered > {answers}:
            time.sleep(3600)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(one, "x").as_numpy())])
            for one in requests
        ]
"""


class Mute:
    """Answers so many requests at once, and then none."""

    def __init__(self, answers: int) -> None:
        self._answers = answers

    def submit(self, inputs, reply, sequence=None):  # noqa: ARG002 - a target's
        if self._answers > 0:
            self._answers -= 1
            threading.Thread(target=reply, args=(None,)).start()

    def counters(self):
        return Counters()


class Forgetful(Mute):
    """Answers all requests but the first, unless it is told to."""

    def __init__(self) -> None:
        super().__init__(100_000)
        self._forgot = []

    def submit(self, inputs, reply, sequence=None):
        if self._forgot:
            super().submit(inputs, reply, sequence)
        else:
            self._forgot.append(reply)

    def remember(self) -> None:
        self._forgot[0](None)


@pytest.mark.parametrize("load", [ClosedLoad(2), OpenLoad(50)], ids=["closed", "open"])
@pytest.mark.parametrize("answers", [0, 3])
def test_a_load_without_answers_ends_and_waits_for_none(load, answers):
    began = time.monotonic()
    with pytest.raises(StuckError, match=rf"it hangs: no answer for .* s, .* after {answers} answers"):
        visit(Mute(answers), REQUESTS, load, SHORT, threading.Event())
    assert time.monotonic() - began < 25  # a load that ends well is drained for 30 s or more


def test_what_hangs_once_its_windows_are_over_is_noticed_too():
    began = time.monotonic()
    options = VisitOptions(seconds=0.001, requests=20, warm_up_seconds=0.0, silence_seconds=0.5)
    with pytest.raises(StuckError, match="after the load ended"):
        visit(Forgetful(), REQUESTS, ClosedLoad(2), options, threading.Event())
    assert time.monotonic() - began < 60


def test_quiet_times_of_a_schedule_are_no_silence():
    options = VisitOptions(seconds=0.05, requests=2, warm_up_seconds=0.0, silence_seconds=0.3)
    gaps = OpenLoad(1.0, gaps_seconds=(0.9, 1.1), loop=True)
    (window,) = visit(Mute(100), REQUESTS, gaps, options, threading.Event())
    assert len(window.latencies_ms) >= 1


def test_a_machine_that_stands_still_is_no_silence():
    """Nobody looks for longer than may be silent, and the first answer comes only after the next look."""
    target = Forgetful()
    looks = []

    def look() -> None:
        looks.append(time.sleep(0.6 if not looks else 0.0))
        if len(looks) == 2:
            target.remember()

    with ClosedLoop(target, REQUESTS, 1) as load:
        Watch(load, threading.Event(), [look], silence=0.5).next_end(0, 1, 0)
    assert load.error is None


def test_a_load_that_is_held_tells_it_too(monkeypatch):
    monkeypatch.setattr("tcli_analyzer.measuring.held.SILENCE_SECONDS", 0.3)

    def watched() -> None:
        with HeldLoad(Mute(3), REQUESTS, ClosedLoad(2), 1) as held:
            until(lambda: held.progress() is None)

    with pytest.raises(StuckError, match="after 3 answers"):
        watched()


def test_a_variant_that_hangs_is_put_away_with_what_it_started(tmp_path):
    write_python_model(tmp_path, "hangs", HANGS.format(answers=1), CONFIG)
    with Variant(tmp_path, "hangs", threading.Event()) as variant:
        config = variant.load()
    configuration = Configuration("own", 4, 1, config, current=True)
    bench = LocalBench({False: tmp_path}, "hangs", RandomSource({"x": (4,)}), threading.Event())
    with bench:
        with pytest.raises(CannotMeasureError, match="it hangs: no answer for"):
            bench.visit(configuration, ClosedLoad(1), SHORT)
        assert not bench.is_loaded(configuration)


def test_a_model_that_takes_for_ever_to_load_ends_too(tmp_path):
    code = "import time\nclass TritonPythonModel:\n    def initialize(self, args):\n        time.sleep(3600)\n"
    write_python_model(tmp_path, "loads", code + "    def execute(self, requests):\n        return []\n", CONFIG)
    loading = Variant(tmp_path, "loads", threading.Event(), patience=1.0)
    with loading as variant, pytest.raises(VariantDiedError, match="it hangs: no answer within 1 s"):
        variant.load()
