"""Loads that wait for room behind one another, where one of them is for what another is made of."""

import time
from pathlib import Path

import numpy as np
import pytest

from ensemble_models import ensemble, tensor, write_ensemble
from on_demand_models import MIB, Asked, ask_weights, loaded, on_demand, options, write_weights
from python_models import IDENTITY, write_python_model
from tcli_server import Engine
from waiting import until

ONE = {"INPUT0": np.ones(1, np.float32)}
WAIT_SECS = 20
HANGS = (
    IDENTITY
    + """
    def initialize(self, args):
        import pathlib, time
        pathlib.Path({0!r}, "loading").touch()
        while not pathlib.Path({0!r}, "go_on").exists():
            time.sleep(0.01)
"""
)


def write_pipe(repository: Path, step: str) -> None:
    """An ensemble of one step."""
    single = [tensor("INPUT0", "1"), tensor("OUTPUT0", "1")]
    steps = [(step, {"INPUT0": "INPUT0"}, {"OUTPUT0": "OUTPUT0"})]
    write_ensemble(repository, "pipe", ensemble(single[:1], single[1:], steps, 0))


def test_a_step_that_waits_in_line_does_not_hold_up_the_ensemble_that_has_room_for_it(tmp_path: Path):
    write_weights(tmp_path, "m0", "m1", "m2")
    write_pipe(tmp_path, "m1")
    budget = 30 * MIB  # for one of them
    with Engine(tmp_path, options=options(memory_budget=budget, load_wait_secs=WAIT_SECS)) as engine:
        ask_weights(engine, "m0")
        lease = engine.model("m0")
        assert lease.lease()
        room = on_demand(engine).room
        asked = []
        for name in ("pipe", "m2", "m1"):  # first the ensemble, then others, then its step
            asked.append(Asked(engine, name, ONE))
            until(lambda: len(room._line) == len(asked))
        began = time.monotonic()
        lease.give_back()
        assert [one.answer().error for one in asked] == [None] * 3
        assert time.monotonic() < began + WAIT_SECS
        assert "m0" not in loaded(engine)


def test_an_ensemble_that_waits_in_line_keeps_nobody_from_the_room_of_its_step(tmp_path: Path):
    write_weights(tmp_path, "m0", "m1")
    write_pipe(tmp_path, "m1")
    with Engine(tmp_path, options=options(memory_budget=30 * MIB, load_wait_secs=WAIT_SECS)) as engine:
        ask_weights(engine, "m1")
        lease = engine.model("m1")
        assert lease.lease()
        room = on_demand(engine).room
        asked = []
        for name in ("m0", "pipe"):
            asked.append(Asked(engine, name, ONE))
            until(lambda: len(room._line) == len(asked))
        began = time.monotonic()
        lease.give_back()
        assert [one.answer().error for one in asked] == [None] * 2
        assert time.monotonic() < began + WAIT_SECS


def test_a_loaded_model_whose_reload_waits_in_line_makes_room_for_those_before_it(tmp_path: Path):
    write_weights(tmp_path, "m0", "m1")
    with Engine(tmp_path, options=options(memory_budget=30 * MIB, load_wait_secs=WAIT_SECS)) as engine:
        ask_weights(engine, "m1")
        lease = engine.model("m1")
        assert lease.lease()
        room = on_demand(engine).room
        before_it = Asked(engine, "m0", ONE)
        until(lambda: len(room._line) == 1)
        reload = engine.begin_load("m1")
        until(lambda: len(room._line) == 2)
        began = time.monotonic()
        lease.give_back()
        assert before_it.answer().error is None
        assert reload.exception(60) is None
        assert time.monotonic() < began + WAIT_SECS
        assert loaded(engine) == {"m1"}


@pytest.mark.parametrize("budget", [None, 1 << 30])
def test_a_first_load_that_hangs_keeps_nobody_else_waiting(tmp_path: Path, budget: int | None):
    write_weights(tmp_path, "m0")
    write_python_model(tmp_path, "hangs", HANGS.format(str(tmp_path)))
    with Engine(tmp_path, options=options(memory_budget=budget, load_wait_secs=WAIT_SECS)) as engine:
        waits = Asked(engine, "hangs", ONE)
        until((tmp_path / "loading").exists)
        ask_weights(engine, "m0")
        assert not waits.answered
        (tmp_path / "go_on").touch()
        assert waits.answer().error is None
