"""Closed-loop load on a real engine, and what is sent."""

import threading

import numpy as np
import pytest

import onnx_models
from repositories import add_sub_config, write_model
from tcli_analyzer.inputs import UnknownInputError, random_requests, resolve_shapes
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.target import EngineTarget
from tcli_server.datatypes import BY_NAME
from tcli_server.random_tensor import random_tensor
from waiting import until


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


def test_the_load_ends_when_its_last_request_is_answered(target, requests):
    before = target.counters().requests
    with ClosedLoop(target, requests, 3) as load:
        until(lambda: len(load.replies) >= 50)
    assert load.error is None
    assert len(load.replies) >= 50
    # Every request that was sent was answered before the load ended.
    assert target.counters().requests - before == len(load.replies)


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
