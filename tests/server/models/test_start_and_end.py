"""How an engine starts on odd repositories, and how it ends."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from repositories import add_sub_config, states, write_model
from tcli_server import Engine, EngineOptions, InferenceRequest
from tcli_server.errors import InternalError, NotFoundError, UnavailableError
from waiting import until

EXPLICIT = EngineOptions(model_control_mode="explicit")
PAIR = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
SLOW = {"INPUT0": np.ones((1, 4), np.float32)}
MODEL = onnx_models.add_sub()


# --- starting ---


def test_a_repository_that_is_named_twice_is_one(repository: Path):
    with Engine(repository, repository) as engine:
        assert states(engine) == {"add_sub/1": "READY"}


def test_duplicates_and_an_empty_repository_start(repository: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    with Engine(other) as engine:
        assert engine.ready()
    write_model(other, "add_sub", MODEL)
    with Engine(repository, other, options=EXPLICIT) as engine:
        assert engine.ready()
        with pytest.raises(InternalError, match="in several repositories"):
            engine.load("add_sub")
    with Engine(repository, other) as engine:
        assert not engine.ready()
        (row,) = engine.repository_index().models
        assert (row.state, row.reason) == ("UNAVAILABLE", "model appears in two or more repositories")


def test_a_missing_repository_starts_where_errors_are_no_reason_to_end(tmp_path: Path):
    with pytest.raises(NotFoundError):
        Engine(tmp_path / "nope")
    with Engine(tmp_path / "nope", options=EngineOptions(exit_on_error=False)) as engine:
        assert (engine.live(), engine.ready()) == (False, False)
        assert engine.server_metadata().name == "triton"
        with pytest.raises(UnavailableError, match="Server not ready"):
            engine.infer("add_sub", PAIR)


def test_without_auto_completion_a_folder_without_configuration_is_ignored(repository: Path):
    write_model(repository, "told", MODEL, add_sub_config("told").replace('label_filename: "labels.txt"', ""))
    with Engine(repository, options=EngineOptions(auto_complete_config=False)) as engine:
        assert engine.ready()
        assert states(engine) == {"told/1": "READY"}


def test_one_unnamed_instance_group_is_named_by_its_model(engine: Engine):
    engine.load("add_sub")
    assert engine.model_config("add_sub").instance_group[0].name == "add_sub_0"


# --- the end ---


def test_what_drains_is_answered_before_the_end(repository: Path):
    """Requests of a model that was unloaded or replaced meanwhile."""
    write_model(repository, "slow", onnx_models.slow_identity())
    write_model(repository, "gone", onnx_models.slow_identity())
    engine = Engine(repository)
    engine.start()
    answers: list[object] = []
    for name in ("slow", "gone") * 3:
        engine.submit(InferenceRequest(name, dict(SLOW), reply=answers.append))
    engine.unload("gone")
    os.utime(repository / "slow" / "1" / "model.onnx", ns=(1, 1))
    engine.load("slow")
    assert states(engine)["gone/1"] in ("UNLOADING", "UNAVAILABLE")
    assert engine.shutdown(timeout=60) is True
    assert [answer.error for answer in answers] == [None] * 6
    with pytest.raises(UnavailableError, match="Server exiting"):
        engine.infer("slow", SLOW)


def test_an_idle_engine_needs_no_time_to_end(tmp_path: Path):
    for index in range(60):
        write_model(tmp_path, f"idle{index}", MODEL)
    engine = Engine(tmp_path)
    engine.start()
    assert len(engine.models()) == 60
    start = time.monotonic()
    assert engine.shutdown(timeout=0) is True
    assert time.monotonic() - start < 10
    until(lambda: not any(thread.name.startswith("idle") for thread in threading.enumerate()))


def test_an_end_that_comes_too_soon_says_so(repository: Path):
    write_model(repository, "slow", onnx_models.slow_identity())
    engine = Engine(repository)
    engine.start()
    answers: list[object] = []
    for _ in range(4):
        engine.submit(InferenceRequest("slow", dict(SLOW), reply=answers.append))
    assert engine.shutdown(timeout=0) is False
    until(lambda: len(answers) == 4)


# --- another configuration ---


def test_a_configuration_of_a_name_is_used_where_there_is_one(repository: Path):
    write_model(repository, "other", onnx_models.add_sub(), "max_batch_size: 3")
    configs = repository / "add_sub" / "configs"
    configs.mkdir()
    (configs / "large.pbtxt").write_text("max_batch_size: 64")
    (configs / "wrong.pbtxt").write_text("max_batch_size: many")
    options = EngineOptions(model_control_mode="explicit", load_models=("*",), model_config_name="large")
    with Engine(repository, options=options) as engine:
        assert [engine.model_config(name).max_batch_size for name in ("add_sub", "other")] == [64, 3]
        (configs / "large.pbtxt").write_text("max_batch_size: 32")
        engine.load("add_sub")
        assert engine.model_config("add_sub").max_batch_size == 32
    with Engine(repository, options=EngineOptions(model_config_name="wrong")) as engine:
        (row,) = [row for row in engine.repository_index().models if row.name == "add_sub"]
        assert f"{configs / 'wrong.pbtxt'}:1: max_batch_size" in row.reason
