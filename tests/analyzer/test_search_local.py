"""Searches on the real engine: they run through, and their figures fit together."""

import threading

import numpy as np
import pytest

import onnx_models
from imagined_bench import Follower
from python_models import write_python_model
from repositories import write_model
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration, label_of, vary
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.prediction.stored import read_tables, write_tables
from tcli_analyzer.prediction.what_if import Question, what_if
from tcli_analyzer.searching.field import Field
from tcli_analyzer.searching.quick import QuickOptions, QuickSearch
from tcli_server.repository import read_config

pytestmark = pytest.mark.long

CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: 4
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 256 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 256 ] } ]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory):
    repository = tmp_path_factory.mktemp("search")
    weights = np.random.default_rng(0).normal(0, 0.05, (256, 256)).astype(np.float32)
    write_model(repository, "product", onnx_models.product(weights), CONFIG)
    return repository


def test_a_quick_search_of_a_small_model(repository):
    base = read_config(repository / "product" / "config.pbtxt")
    current = Configuration("current", 4, 1, vary(base, 4, 1), current=True)
    others = [
        Configuration(label_of(size, count), size, count, vary(base, size, count))
        for count in (1, 2)
        for size in (1, 4)
        if (size, count) != (4, 1)
    ]
    field = Field([current, *others], [ClosedLoad(1), ClosedLoad(4)], lambda windows: windows.throughput)
    follower = Follower()
    with LocalBench({False: repository}, "product", RandomSource({"INPUT0": (256,)}), threading.Event()) as bench:
        found = QuickSearch(QuickOptions(seconds=8)).run(field, bench, follower)
    assert found.current is not None
    # A machine that is slow or disturbed may have had time for the current configuration alone.
    assert bool(found.leaders) == any(not point.configuration.current for point in found.points)
    assert not found.failures
    assert all(point.measured.throughput > 0 for point in found.points)
    assert found.prediction is not None
    tables = read_tables(write_tables(found.prediction.tables))
    assert {1} <= {table.instances for table in tables.tables} <= {1, 2}  # no time for the second on such a machine
    answers = what_if(tables, Question([ClosedLoad(8), OpenLoad(20)]), requests=500)
    assert all(answer.throughput > 0 for answer in answers)
    assert follower.plans
    assert not found.stopped


SLEEPER = """
import time

class TritonPythonModel:
    def execute(self, requests):
        items = sum(pb_utils.get_input_tensor_by_name(each, "INPUT0").as_numpy().shape[0] for each in requests)
        time.sleep(0.030 + 0.002 * items)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", pb_utils.get_input_tensor_by_name(each, "INPUT0").as_numpy())])
            for each in requests
        ]
"""

SLEEPER_CONFIG = """
backend: "python"
max_batch_size: 1
input { name: "INPUT0" data_type: TYPE_FP32 dims: [4] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [4] }
"""


def test_a_model_of_known_times_gets_the_configuration_that_they_ask_for(tmp_path):
    """30 ms and 2 ms an item, which no neighbour makes shorter: 8 at once are five times as fast, and two instances twice."""
    write_python_model(tmp_path, "sleeper", SLEEPER, SLEEPER_CONFIG)
    base = read_config(tmp_path / "sleeper" / "config.pbtxt")
    configurations = [
        Configuration(label_of(size, count), size, count, vary(base, size, count), current=(size, count) == (1, 1))
        for count in (1, 2)
        for size in (1, 8)
    ]
    field = Field(configurations, [ClosedLoad(1), ClosedLoad(16)], lambda windows: windows.throughput)
    with LocalBench({False: tmp_path}, "sleeper", RandomSource({"INPUT0": (4,)}), threading.Event()) as bench:
        found = QuickSearch(QuickOptions(seconds=15)).run(field, bench, Follower())
    assert found.prediction is not None
    leader = found.leaders[0]
    assert (leader.configuration.label, leader.load) == ("batch 8, 2 instances", ClosedLoad(16))
    for table in found.prediction.tables.tables:
        assert table.service.entries[1].seconds > 0.030
        assert table.service.entries[8].seconds > 0.044
