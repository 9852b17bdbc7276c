"""Windows, stability and closed-loop load, on a real engine."""

import threading
import time

import numpy as np
import pytest

import onnx_models
from measured_points import window
from repositories import add_sub_config, write_model
from tcli_analyzer.inputs import UnknownInputError, random_requests, resolve_shapes
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.measurement import (
    Measurement,
    MeasurementError,
    MeasurementOptions,
    Stopped,
    agree,
    measure,
)
from tcli_analyzer.target import EngineTarget
from tcli_server.datatypes import BY_NAME
from tcli_server.random_tensor import random_tensor

FAST = MeasurementOptions(interval_ms=30, max_trials=3)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    repository = tmp_path_factory.mktemp("measured")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    with EngineTarget(repository, "add_sub") as engine:
        engine.load()
        yield engine


@pytest.fixture(scope="module")
def requests():
    return [{"INPUT0": np.ones((1, 16), np.float32), "INPUT1": np.ones((1, 16), np.float32)}]


def test_windows_hold_the_requests_that_ended_in_them(target, requests):
    found = measure(target, requests, 4, FAST, threading.Event())
    assert len(found.windows) == 3
    assert all(w.seconds >= 0.03 for w in found.windows)
    assert all(len(w.latencies_ms) >= 4 for w in found.windows)
    assert found.throughput == pytest.approx(found.requests / found.seconds)
    assert 0 < found.latency_ms(50) <= found.latency_ms(90) <= found.latency_ms(95) <= found.latency_ms(99)
    # Little's law: outstanding requests = throughput x latency. Stalls of a busy machine at a window's edge blur it.
    assert 1 < found.throughput * found.latency_avg_ms / 1000 < 16


def test_the_servers_split_and_batches_are_measured(target, requests):
    found = measure(target, requests, 8, FAST, threading.Event())
    assert 1 <= found.batch_avg <= 8
    assert found.queue_ms > 0
    assert found.compute_infer_ms > 0
    parts = found.queue_ms + found.compute_input_ms + found.compute_infer_ms + found.compute_output_ms
    assert parts < found.latency_avg_ms * 3
    assert found.cpu_percent > 0
    assert found.other_cpu_percent >= 0
    assert found.memory_mib > 1


def test_the_load_ends_when_its_last_request_is_answered(target, requests):
    before = target.counters().requests
    with ClosedLoop(target, requests, 3) as load:
        deadline = time.monotonic() + 30
        while len(load.replies) < 50 and time.monotonic() < deadline:
            time.sleep(0.005)
    assert load.error is None
    assert len(load.replies) >= 50
    # Every request that was sent was answered before the load ended.
    assert target.counters().requests - before == len(load.replies)


def test_a_failing_request_ends_the_measurement_with_the_servers_words(target):
    wrong = [{"INPUT0": np.ones((1, 3), np.float32), "INPUT1": np.ones((1, 16), np.float32)}]
    with pytest.raises(MeasurementError, match="INPUT0"):
        measure(target, wrong, 2, FAST, threading.Event())


def test_stop_ends_the_measurement(target, requests):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        measure(target, requests, 1, MeasurementOptions(interval_ms=60_000), stop)


def test_windows_agree_as_perf_analyzer_has_it():
    assert agree([window(100), window(109), window(105)], 10)
    assert not agree([window(100), window(111), window(105)], 10)
    assert not agree([window(100, 10), window(100, 11.5), window(100, 10)], 10)


def test_unstable_windows_are_reported_as_such(target, requests):
    found = measure(target, requests, 2, MeasurementOptions(10, 1e-9, max_trials=4), threading.Event())
    assert not found.stable
    assert found.trials == 4
    assert len(found.windows) == 3


def test_a_repeat_widens_the_spread_to_both_moments():
    first = Measurement((window(100), window(100), window(100)), 3, True)
    second = Measurement((window(120), window(120), window(120)), 3, True)
    both = first.with_repeat(second)
    assert first.throughput_spread == 0
    assert both.throughput_spread == pytest.approx(20 / 110)
    assert both.requests == 600


def test_slow_models_get_longer_windows():
    options = MeasurementOptions(interval_ms=500)
    assert options.window_seconds(0.001, 1) == 0.5
    assert options.window_seconds(0.030, 1) == pytest.approx(34 * 0.030)
    assert options.window_seconds(1.0, 1) == 2.5


@pytest.mark.parametrize("datatype", BY_NAME)
def test_random_tensors_have_the_type_and_no_nan(datatype):
    tensor = random_tensor(datatype, (2, 3), np.random.default_rng(0))
    assert tensor.shape == (2, 3)
    assert tensor.dtype == BY_NAME[datatype].dtype
    if datatype == "BYTES":
        assert all(isinstance(item, bytes) for item in tensor.ravel())
    else:
        assert np.isfinite(tensor.astype(np.float64)).all()


def test_shapes_are_given_or_taken_as_one(target):
    config = target.load()
    dims = config.input[0].dims
    dims[0] = -1
    try:
        shapes, guessed = resolve_shapes(config, {})
        assert shapes["INPUT0"] == (1,)
        assert guessed == ["INPUT0"]
        assert resolve_shapes(config, {"INPUT0": (5,)})[0]["INPUT0"] == (5,)
        with pytest.raises(UnknownInputError, match="no input 'nope'"):
            resolve_shapes(config, {"nope": (1,)})
        with pytest.raises(UnknownInputError, match="does not fit"):
            resolve_shapes(config, {"INPUT1": (4,)})
        assert random_requests(config, shapes | {"INPUT0": (5,)}, 2)[0]["INPUT0"].shape == (1, 5)
    finally:
        dims[0] = 16


def test_requests_of_a_model_without_batching_have_no_batch_dimension(target):
    config = target.load()
    config.max_batch_size = 0
    assert random_requests(config, {"INPUT0": (16,), "INPUT1": (16,)}, 1)[0]["INPUT0"].shape == (16,)


class Holding:
    """A target that answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list = []

    def submit(self, inputs, reply) -> None:
        self.waiting.append((inputs["x"], reply))


def test_the_load_waits_for_its_last_request_and_sends_different_ones():
    target = Holding()
    load = ClosedLoop(target, [{"x": number} for number in range(3)], 2)
    load.__enter__()
    assert [x for x, _ in target.waiting] == [0, 1]
    for _ in range(4):
        target.waiting.pop(0)[1](None)
    assert [x for x, _ in target.waiting] == [2, 0]
    leaving = threading.Thread(target=load.__exit__, args=(None, None, None))
    leaving.start()
    leaving.join(0.2)
    assert leaving.is_alive()
    while target.waiting:
        target.waiting.pop()[1](None)
    leaving.join(60)
    assert not leaving.is_alive()
    assert len(load.replies) == 6
