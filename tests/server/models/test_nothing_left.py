"""Loads that end in unusual ways leave nothing: no files, no threads, no model that answers."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx_models
from repositories import pushed_folders, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InternalError, UnavailableError

MODEL = onnx_models.identity()
CONFIG = json.dumps({"max_batch_size": 4})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    write_model(tmp_path, "identity", MODEL)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as running:
        yield running


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("identity")}


def test_a_path_too_deep_for_anybody_is_refused_and_leaves_nothing(engine: Engine):
    files = {"1/model.onnx": MODEL, "a/" * 1500 + "file": b""}
    before = pushed_folders()
    with pytest.raises(InternalError, match="1501 names, expected at most 32"):
        engine.load("deep", CONFIG, files)
    assert pushed_folders() <= before


@pytest.mark.parametrize("config", ['{"a":[' + "[]," * 5_000_000 + "0]}", "{" + " " * (1 << 20)])
def test_a_configuration_larger_than_any_is_refused_before_it_is_parsed(engine: Engine, config: str):
    with pytest.raises(InternalError, match=f"has {len(config)} characters, expected at most 1048576"):
        engine.load("identity", config)
    assert not engine.models()


@pytest.mark.parametrize("files", [{}, {"1/model.onnx": MODEL}])
def test_a_load_that_ends_in_the_moment_of_the_shutdown_is_thrown_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]
):
    others = workers()
    publish = engine._registry.publish
    before = pushed_folders()

    def late(*arguments: Any) -> Any:
        stopping = threading.Thread(target=engine.shutdown)
        stopping.start()
        stopping.join(60)
        return publish(*arguments)

    monkeypatch.setattr(engine._registry, "publish", late)
    begun = threading.Event()

    def end() -> None:
        with pytest.raises(UnavailableError, match="Server exiting"):
            engine.load("identity", CONFIG if files else None, files)
        begun.set()

    threading.Thread(target=end).start()
    assert begun.wait(60)
    for thread in threading.enumerate():
        if thread.name == "control identity":
            thread.join(60)
    assert not engine.models()
    assert workers() <= others
    assert pushed_folders() <= before


def test_a_machine_without_threads_still_answers_and_still_shuts_down(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    """Neither what watches deadlines nor what drains an old copy can have a thread of its own."""
    policy = {"default_queue_policy": {"default_timeout_microseconds": 60_000_000}}
    engine.load("identity", json.dumps({"max_batch_size": 4, "dynamic_batching": policy}))
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "deadlines" or thread.name.startswith("close "):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    ones = np.ones((1, 4), np.float32)
    assert engine.infer("identity", {"INPUT0": ones}).outputs["OUTPUT0"].tolist() == [[1] * 4]
    old = engine.model("identity")
    monkeypatch.setattr(type(old), "idle", False)
    engine.load("identity", CONFIG)
    assert old.join(0)
    assert engine.shutdown()
