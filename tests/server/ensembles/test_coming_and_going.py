"""Loads and unloads of ensembles and of their models, all at once."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ensemble_models import ensemble, write_ensemble
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InvalidArgumentError, ServerError
from waiting import until

pytestmark = pytest.mark.long

EXPLICIT = EngineOptions(model_control_mode="explicit")
FIRST = ("first", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "S"})
A = np.ones((1, 16), np.float32)


def made_of(*steps: tuple) -> ModelConfig:
    return text_format.Parse(ensemble(["A", "B"], ["S"], steps), ModelConfig())


def busy(engine: Engine, name: str) -> Callable[[], None]:
    """Hold up what is to happen to a model until what is returned is called."""
    gate, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert gate.wait(60)

    engine._control.operations.unload(name, hold)
    assert entered.wait(60)
    return gate.set


def test_two_configurations_that_need_each_other_hold_up_nobody(repository: Path):
    for name in ("one", "two"):
        write_ensemble(repository, name, ensemble(["A", "B"], ["S"], [FIRST]))
    with Engine(repository, options=EXPLICIT) as engine:
        go_on = busy(engine, "second")
        through = ("second", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "t"})
        one = engine.begin_load("one", made_of(through, ("two", {"A": "t", "B": "B"}, {"S": "S"})))
        until(lambda: bool(engine._control._awaited))
        two = engine.begin_load("two", made_of(("one", {"A": "A", "B": "B"}, {"S": "S"})))
        until(lambda: len(engine._control._awaited) == 2)
        go_on()
        assert any(isinstance(load.exception(60), InvalidArgumentError) for load in (one, two))
        engine.load("one", made_of(FIRST))
        assert engine.infer("one", {"A": A, "B": A}).outputs["S"].tolist() == [[2.0] * 16]


def test_a_step_that_is_needed_meanwhile_is_not_unloaded(repository: Path):
    write_ensemble(repository, "one", ensemble(["A", "B"], ["S"], [FIRST]))
    write_ensemble(repository, "two", ensemble(["A", "B"], ["S"], [FIRST]))
    with Engine(repository, options=EXPLICIT) as engine:
        engine.load("one")
        go_on = busy(engine, "first")
        engine.unload("one", unload_dependents=True)
        engine.load("two")
        go_on()
        until(lambda: not engine.loading)
        assert {model.name for model in engine.models()} == {"first", "two"}


def test_models_come_and_go_under_requests(repository: Path):
    """Answers are right or say what is missing; in the end nothing is held, and everything can be loaded."""
    steps = [
        ("pipe", {"A": "A", "B": "B"}, {"TWICE": "t", "DIFFERENCE": "d"}),
        ("third", {"INPUT0": "t", "INPUT1": "d"}, {"OUTPUT0": "ALL"}),
    ]
    write_ensemble(repository, "outer", ensemble(["A", "B"], ["ALL"], steps))
    names = ["first", "second", "third", "pipe", "outer"]
    done = threading.Event()
    told: list[str] = []
    with Engine(repository, options=EXPLICIT) as engine, ThreadPoolExecutor(12) as clients:

        def ask(seed: int) -> int:
            dice, right = random.Random(seed), 0
            while not done.is_set():
                value = np.full((dice.randint(1, 8), 16), dice.randrange(100), np.float32)
                try:
                    answer = engine.infer("outer", {"A": value, "B": np.ones_like(value)})
                except ServerError as error:
                    told.append(str(error))
                else:
                    assert np.array_equal(answer.outputs["ALL"], 3 * value)
                    right += 1
            return right

        def change(seed: int) -> None:
            dice = random.Random(seed)
            for _ in range(25):
                name = dice.choice(names)
                try:
                    if dice.random() < 0.4:
                        engine.unload(name, unload_dependents=dice.random() < 0.5)
                    elif dice.random() < 0.3:
                        (repository / name / "config.pbtxt").touch()
                        engine.load(name)
                    else:
                        engine.load(name)
                except ServerError as error:
                    told.append(str(error))

        asking = [clients.submit(ask, seed) for seed in range(6)]
        for change_done in [clients.submit(change, seed) for seed in range(4)]:
            change_done.result(120)
        done.set()
        assert all(each.result(60) >= 0 for each in asking)
        assert [error for error in told if "Error:" in error] == []  # no defect has come to light
        until(lambda: not engine.loading)
        engine.load("outer")
        assert engine.infer("outer", {"A": A, "B": A}).outputs["ALL"].tolist() == [[3.0] * 16]
        until(lambda: all(engine.model(name).idle for name in names))
        assert all(engine.model(name)._leases == 0 for name in names)
        assert engine._pending.held == 0
        with pytest.raises(ServerError):
            engine.infer("outer", {"A": A})
