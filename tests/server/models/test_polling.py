"""`poll`: what changes on disk is followed, and nothing else happens."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from ensemble_models import ensemble, write_ensemble
from python_models import write_python_model
from repositories import states, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import UnavailableError
from waiting import until

PAIR = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
PLAIN = 'backend: "onnxruntime" max_batch_size: 8'
POLL = EngineOptions(model_control_mode="poll", repository_poll_secs=0.02)


@pytest.fixture
def engine(repository: Path) -> Iterator[Engine]:
    with Engine(repository, options=POLL) as running:
        yield running


def seen(engine: Engine, looks: int = 2) -> None:
    """Wait until the repository was looked at anew."""
    polling, counted = engine._polling, []
    assert polling is not None
    look = polling._look
    polling._look = lambda: (counted.append(1), look())[1]
    until(lambda: len(counted) > looks)
    polling._look = look


def test_models_come_change_and_go(repository: Path, engine: Engine):
    assert states(engine) == {"add_sub/1": "READY"}
    write_model(repository, "other", onnx_models.add_sub())
    until(lambda: states(engine).get("other/1") == "READY")
    write_model(repository, "other", onnx_models.add_sub(), version=2)
    until(lambda: states(engine).get("other/2") == "READY")
    (repository / "other" / "config.pbtxt").write_text("max_batch_size: 3")
    until(lambda: engine.model_config("other").max_batch_size == 3)
    shutil.rmtree(repository / "other")
    until(lambda: not engine.model_ready("other"))
    assert engine.model_ready("add_sub")


def test_what_does_not_change_is_left_alone(engine: Engine):
    engine.infer("add_sub", PAIR)
    model = engine.model("add_sub")
    seen(engine)
    assert engine.model("add_sub") is model
    assert model.statistics.success_count == 1


def test_a_model_that_breaks_keeps_its_old_copy_and_is_tried_again_only_when_it_changes(
    repository: Path, engine: Engine, caplog: pytest.LogCaptureFixture
):
    file = repository / "add_sub" / "1" / "model.onnx"
    right = file.read_bytes()
    file.write_bytes(b"broken")
    until(lambda: "load failed for model 'add_sub'" in caplog.text)
    seen(engine)
    assert caplog.text.count("load failed for model 'add_sub'") == 1
    engine.infer("add_sub", PAIR)
    model = engine.model("add_sub")
    file.write_bytes(right)
    until(lambda: engine.model("add_sub") is not model)
    assert engine.ready()


def test_an_ensemble_is_loaded_when_the_model_comes_that_it_waits_for(repository: Path):
    steps = [("late", {"INPUT0": "INPUT0", "INPUT1": "INPUT1"}, {"OUTPUT0": "S"})]
    config = ensemble(["INPUT0", "INPUT1"], ["S"], steps)
    write_ensemble(repository, "pipe", config)
    outer = [("pipe", {"INPUT0": "INPUT0", "INPUT1": "INPUT1"}, {"S": "S"})]
    write_ensemble(repository, "outer", ensemble(["INPUT0", "INPUT1"], ["S"], outer))
    with Engine(repository, options=POLL) as engine:
        assert not engine.model_ready("pipe")
        assert not engine.ready()
        write_model(repository, "late", b"broken")
        until(lambda: states(engine).get("late/1") == "UNAVAILABLE")
        write_model(repository, "late", onnx_models.add_sub(), PLAIN)
        until(lambda: engine.model_ready("outer"))
        assert engine.infer("outer", PAIR).outputs["S"].tolist() == [[2.0] * 16]
        assert engine.ready()


def test_a_repository_that_is_away_unloads_nothing(repository: Path, engine: Engine):
    away = repository.with_name("away")
    repository.rename(away)
    seen(engine)
    engine.infer("add_sub", PAIR)
    away.rename(repository)
    write_model(repository, "other", onnx_models.add_sub())
    until(lambda: engine.model_ready("other"))


def test_looking_ends_with_the_engine(repository: Path):
    before = set(threading.enumerate())
    with Engine(repository, options=POLL):
        assert any(thread.name == "repository poll" for thread in threading.enumerate())
    until(lambda: not any(thread.name == "repository poll" for thread in set(threading.enumerate()) - before))


def test_what_changes_while_the_first_models_load_is_followed(repository: Path, tmp_path: Path):
    waits = """
    import pathlib, time
    class TritonPythonModel:
        def initialize(self, args):
            pathlib.Path({0!r}, "loading").touch()
            while not pathlib.Path({0!r}, "go_on").exists():
                time.sleep(0.01)
        def execute(self, requests):
            return []
    """
    write_python_model(repository, "waits", waits.format(str(tmp_path)))
    engine = Engine(repository, options=POLL)
    starting = threading.Thread(target=engine.start)
    starting.start()
    until((tmp_path / "loading").exists)
    write_model(repository, "other", onnx_models.add_sub())
    (tmp_path / "go_on").touch()
    starting.join()
    until(lambda: states(engine).get("other/1") == "READY")
    assert engine.shutdown()


def test_with_no_interval_nothing_is_followed_and_control_is_refused_all_the_same(repository: Path):
    with Engine(repository, options=EngineOptions(model_control_mode="poll", repository_poll_secs=0)) as engine:
        assert states(engine) == {"add_sub/1": "READY"}
        assert engine._polling is None
        with pytest.raises(UnavailableError, match="explicit model load / unload is not allowed"):
            engine.check_model_control()
        engine.infer("add_sub", PAIR)
