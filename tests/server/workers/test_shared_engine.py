"""The engine of a worker that takes another's place while clients load and unload."""

from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest

import onnx_models
from repositories import write_model
from tcli_server.observability.log import LogOptions
from tcli_server.options import EngineOptions
from tcli_server.serving import ServeOptions
from tcli_server.workers import WorkerSetup
from tcli_server.workers.channel import Channel
from tcli_server.workers.messages import CarryOut, Load, Opened, Unload
from tcli_server.workers.shared_engine import SharedEngine

PATIENCE = 60
CONFIG = '{"backend": "onnxruntime", "max_batch_size": 7}'


@pytest.fixture
def ends() -> Iterator[tuple[Channel, list[Opened]]]:
    """A worker's end of a channel, and what it asks of a supervisor that agrees to everything."""
    asked: list[Opened] = []
    here, there = Pipe()
    worker = Channel(here, lambda _: None, lambda: None)
    supervisor = Channel(there, asked.append, lambda: None)
    for one in (worker, supervisor):
        one.start()
    yield worker, asked
    there.close()
    here.close()


def setup(repository: Path, *load_models: str) -> WorkerSetup:
    write_model(repository, "identity", onnx_models.identity())
    options = EngineOptions(model_control_mode="explicit", load_models=load_models)
    return WorkerSetup([repository], options, ServeOptions(), LogOptions(), 2)


def test_an_earlier_configuration_stays_in_force_under_a_load_that_comes_first(
    tmp_path: Path, ends: tuple[Channel, list[Opened]]
):
    channel, asked = ends
    with SharedEngine(setup(tmp_path).of_each([Load("identity", CONFIG)])) as engine:
        engine.connect(channel)
        assert engine.carry_out(CarryOut(3, Load("identity"))).result(PATIENCE) is True
        engine.catch_up()
        assert engine.model_config("identity").max_batch_size == 7
        assert asked == []  # nothing was left to agree on
        assert engine.carry_out(CarryOut(4, Load("identity", CONFIG.replace("7", "5")))).result(PATIENCE) is False
        assert asked == [Opened(4)]
        assert engine.model_config("identity").max_batch_size == 5


def test_what_is_unloaded_during_the_start_stays_so(tmp_path: Path, ends: tuple[Channel, list[Opened]]):
    engine = SharedEngine(setup(tmp_path, "*"))
    engine.connect(ends[0])
    engine.carry_out(CarryOut(0, Unload("identity"))).result(PATIENCE)
    with engine:
        engine.catch_up()
        assert not engine.model_ready("identity")
        assert engine.carry_out(CarryOut(1, Unload("identity"))).result(PATIENCE) is True
        assert engine.carry_out(CarryOut(2, Unload("made up"))).result(PATIENCE) is False
