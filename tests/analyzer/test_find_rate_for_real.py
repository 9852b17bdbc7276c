"""The search for a rate on a real model: one that sleeps, so that theory knows its queue and neighbours hardly matter."""

import threading

import pytest

from python_models import write_python_model
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.rate.found import Verdict
from tcli_analyzer.rate.probing import RateOptions
from tcli_analyzer.rate.search import find_rate
from tcli_analyzer.rate.slo import parse_slo
from tcli_analyzer.rate.start import Start
from tcli_server.repository import read_config

pytestmark = pytest.mark.long

CONFIG = """
backend: "python"
input { name: "INPUT0" data_type: TYPE_FP32 dims: [4] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [4] }
instance_group [{ kind: KIND_CPU count: 1 }]
"""

SLEEPY = """
import time


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.01)
        values = [pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", value)]) for value in values]
"""

OPTIONS = RateOptions(
    probe_requests=150, probe_seconds=2.0, longest_seconds=5.0, most_seconds=8.0, most_requests=1000, repeats=0
)


@pytest.fixture(scope="module")
def sleepy(tmp_path_factory):
    repository = tmp_path_factory.mktemp("sleepy")
    folder = write_python_model(repository, "sleepy", SLEEPY, CONFIG)
    configuration = Configuration("as it is", 0, 1, read_config(folder / "config.pbtxt"), current=True)
    source = RandomSource({"INPUT0": (4,)})
    with LocalBench({False: repository}, "sleepy", source, threading.Event()) as bench:
        yield bench, configuration


def test_a_rate_is_found_between_nothing_and_the_capacity(sleepy):
    """One in ten may take longer than ten executions: whatever the machine adds, there is a rate below the capacity, or nothing is claimed."""
    seen = []
    result = find_rate(*sleepy, parse_slo("p90<=100ms"), Start(), OPTIONS, lambda progress: not seen.append(progress))
    assert 20 < result.capacity <= 100
    assert len(seen) >= 1
    assert seen[-1].requests == result.requests
    assert all(probe.windows.requests for probe in result.probes)
    if result.rate is None:
        assert result.verdict in (Verdict.DISTURBED, Verdict.NONE_KEEPS, Verdict.STOPPED)
    else:
        assert 0 < result.rate <= 1.05 * result.capacity
    assert result.slo.text in result.sentence or result.verdict is Verdict.DISTURBED


def test_what_a_single_request_takes_is_too_long(sleepy):
    result = find_rate(*sleepy, parse_slo("p50<=8ms"), Start(), OPTIONS, lambda _: True)
    assert result.verdict is Verdict.IMPOSSIBLE
    assert result.alone_ms >= 10
    assert "not even one request alone keeps p50 <= 8 ms" in result.sentence
