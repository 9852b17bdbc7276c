"""What a load, a reload or an unload that does not go to plan leaves behind, and what is told of it."""

import gc
import json
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from python_models import IDENTITY, write_python_model
from repositories import pushed_folders, write_model
from tcli_server import Engine, EngineOptions, InferenceRequest
from tcli_server.backends.onnxruntime.backend import OnnxRuntimeBackend
from tcli_server.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ServerError,
    UnavailableError,
)
from tcli_server.models.check import check_repository
from waiting import until

EXPLICIT = EngineOptions(model_control_mode="explicit")
MODEL = onnx_models.identity()
ROW = {"INPUT0": np.ones((1, 4), np.float32)}
CONFIG = json.dumps({"backend": "onnxruntime", "max_batch_size": 4})
ALL_VERSIONS = "version_policy { all { } }"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    write_model(tmp_path, "m", MODEL)
    with Engine(tmp_path, options=EXPLICIT) as running:
        yield running


def rows(engine: Engine) -> list[tuple[str, str, str, str]]:
    return [(row.name, row.version, row.state, row.reason) for row in engine.repository_index().models]


class Opening:
    """Remembers the instances that models open, and fails at will.

    Attributes:
        fails: raised by each opening but for the first `after` ones.
        opened: names of instances.
        closed: likewise.
        keeping: names of threads that would keep the process from ending while a model is opened.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails: Exception | None = None
        self.after = 0
        self.lock = threading.Lock()
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.keeping: set[str] = set()
        open_model = OnnxRuntimeBackend.open

        def watched(backend: OnnxRuntimeBackend, config: object, path: Path, place: object, around: object) -> object:
            threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
            self.keeping |= {thread.name for thread in threads if not thread.daemon}
            with self.lock:  # instances are opened side by side
                if self.fails is not None and len(self.opened) >= self.after:
                    raise self.fails
                self.opened.append(place.name)
            try:
                instance = open_model(backend, config, path, place, around)
            except BaseException:
                self.opened.remove(place.name)
                raise
            close = instance.close

            def closed() -> None:
                self.closed.append(place.name)
                close()

            instance.close = closed
            return instance

        monkeypatch.setattr(OnnxRuntimeBackend, "open", watched)


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Opening:
    return Opening(monkeypatch)


@pytest.mark.parametrize("error", [MemoryError("no more"), InternalError("no more")], ids=["strange", "told"])
def test_instances_are_freed_when_a_later_one_fails(tmp_path: Path, engine: Engine, opening: Opening, error: Exception):
    write_model(tmp_path, "m", MODEL, "instance_group { count: 3 kind: KIND_CPU }")
    opening.fails, opening.after = error, 2
    with pytest.raises(InvalidArgumentError, match=r"load failed for model 'm'.*version 1 .*no more"):
        engine.load("m")
    assert sorted(opening.opened) == sorted(opening.closed)  # they are opened side by side
    assert len(opening.opened) == 2
    ((name, version, state, reason),) = rows(engine)
    assert (name, version, state) == ("m", "1", "UNAVAILABLE")
    assert "no more" in reason


def test_what_a_check_finds_is_what_a_load_finds(tmp_path: Path, engine: Engine, opening: Opening):
    opening.fails = MemoryError("no more")
    (problem,) = check_repository(tmp_path)
    assert (problem.file, problem.found) == (tmp_path / "m" / "1", "MemoryError: no more")
    assert problem.blocks
    with pytest.raises(InvalidArgumentError, match="MemoryError: no more"):
        engine.load("m")


def test_one_version_that_fails_fails_the_model_and_each_tells_why(tmp_path: Path, engine: Engine, opening: Opening):
    write_model(tmp_path, "m", MODEL, ALL_VERSIONS)
    write_model(tmp_path, "m", b"no model", version=2)
    write_model(tmp_path, "m", MODEL, version=10)
    with pytest.raises(InvalidArgumentError, match=r"version 2 is at UNAVAILABLE state: .*2/model\.onnx"):
        engine.load("m")
    assert [row[1:3] for row in rows(engine)] == [("1", "UNAVAILABLE"), ("2", "UNAVAILABLE"), ("10", "UNAVAILABLE")]
    reasons = [row[3] for row in rows(engine)]
    assert reasons[0] == reasons[2] == "another version of the model failed to load"
    assert "model.onnx" in reasons[1]
    assert len(opening.closed) == len(opening.opened) == 2
    assert not engine.ready()
    write_model(tmp_path, "m", MODEL, version=2)
    engine.load("m")
    assert engine.ready()
    assert [row[1:] for row in rows(engine)] == [(version, "READY", "") for version in ("1", "2", "10")]
    assert engine.infer("m", ROW).model_version == "10", "the highest by number"
    assert list(engine.model_metadata("m").versions) == ["1", "2", "10"]
    assert list(engine.model_metadata("m", "2").versions) == ["2"]


def test_a_failed_reload_changes_nothing_of_what_is_served(tmp_path: Path, engine: Engine, opening: Opening):
    write_model(tmp_path, "m", MODEL, ALL_VERSIONS)
    engine.load("m")
    write_model(tmp_path, "m", b"no model", version=2)
    with pytest.raises(InvalidArgumentError):
        engine.load("m")
    assert rows(engine) == [("m", "1", "READY", "")]
    assert engine.ready()
    engine.infer("m", ROW)
    (tmp_path / "m" / "2" / "model.onnx").write_bytes(MODEL)
    opening.fails = MemoryError("no more")
    with pytest.raises(InvalidArgumentError):
        engine.load("m")
    assert rows(engine) == [("m", "1", "READY", "")]
    opening.fails = None
    engine.load("m")
    assert [row[1:3] for row in rows(engine)] == [("1", "READY"), ("2", "READY")]


def test_instances_that_cannot_be_added_leave_those_that_are_there(tmp_path: Path, engine: Engine, opening: Opening):
    def groups(count: int) -> str:
        return f"max_batch_size: 4 instance_group {{ count: {count} kind: KIND_CPU }}"

    folder = write_model(tmp_path, "m", MODEL, groups(1))
    engine.load("m")
    engine.infer("m", ROW)
    (folder / "config.pbtxt").write_text(groups(10))
    opening.fails, opening.after = InternalError("no more"), 3
    with pytest.raises(InvalidArgumentError, match="load failed for model 'm': no more"):
        engine.load("m")
    assert sorted(opening.closed) == sorted(opening.opened[1:])
    assert len(opening.closed) == 2
    assert [place.name for place in engine.model("m").placements] == ["m_0_0"]
    engine.infer("m", ROW)
    assert engine.statistics("m").model_stats[0].execution_count == 2
    assert rows(engine) == [("m", "1", "READY", "")]


def test_a_plain_load_after_pushed_files_looks_at_the_folder_again(tmp_path: Path, engine: Engine):
    (tmp_path / "hollow").mkdir()
    engine.load("hollow", CONFIG, {"1/model.onnx": MODEL, "labels.txt": b"a"})
    engine.infer("hollow", ROW)
    with pytest.raises(ServerError, match="no version folder"):
        engine.load("hollow")
    engine.infer("hollow", ROW)  # as before
    engine.load("m", CONFIG, {"1/model.onnx": MODEL})
    pushed = engine.model("m")
    engine.load("m")
    assert engine.model("m") is not pushed
    assert engine.model("m").folder == tmp_path / "m"


def test_pushed_files_go_with_the_engine(tmp_path: Path):
    write_model(tmp_path, "m", MODEL)
    before = pushed_folders()
    engine = Engine(tmp_path, options=EXPLICIT)
    engine.start()
    engine.load("m", CONFIG, {"1/model.onnx": MODEL})
    assert len(pushed_folders()) == len(before) + 1
    assert engine.shutdown()
    assert pushed_folders() == before


def test_why_a_model_cannot_be_loaded_stays_in_the_index(tmp_path: Path, engine: Engine):
    write_model(tmp_path, "m", MODEL, "max_batch_size: -1")
    with pytest.raises(InternalError, match="max_batch_size"):
        engine.load("m")
    ((name, version, state, reason),) = rows(engine)
    assert (name, version, state) == ("m", "", "UNAVAILABLE")
    assert "max_batch_size" in reason
    assert not engine.ready()
    write_model(tmp_path, "m", MODEL, "max_batch_size: 1")
    engine.load("m")
    assert rows(engine) == [("m", "1", "READY", "")]


def test_a_version_without_its_file_names_the_file(tmp_path: Path, engine: Engine):
    write_model(tmp_path, "m", MODEL, 'backend: "onnxruntime" version_policy { all { } }')
    (tmp_path / "m" / "2").mkdir()
    with pytest.raises(
        InvalidArgumentError, match=r"model file not found in '.*2/model\.onnx': version 2 of model 'm' has no file"
    ):
        engine.load("m")


def test_what_is_done_is_not_remembered(engine: Engine):
    future = engine.begin_load("m")
    gone = weakref.ref(future)
    future.result(60)
    del future
    until(lambda: gc.collect() >= 0 and gone() is None)


def test_a_pushed_file_may_have_as_long_a_name_as_there_can_be(engine: Engine):
    engine.load("m", CONFIG, {"1/model.onnx": MODEL, "1/" + "x" * 255: b"", "notes/of/mine": b""})
    folder = engine.model("m").folder
    assert (folder / "1" / ("x" * 255)).is_file()
    assert (folder / "notes" / "of" / "mine").is_file()
    with pytest.raises(InternalError, match="leaves the model's folder or is not a path"):
        engine.load("m", CONFIG, {"1/model.onnx": MODEL, "1/" + "x" * 256: b""})


def test_pushed_files_without_their_configuration_are_refused(engine: Engine):
    with pytest.raises(InternalError, match="files are given without the 'config' parameter"):
        engine.load("m", None, {"1/model.onnx": MODEL})


@pytest.mark.parametrize("by", ["unload", "reload"])
def test_a_version_that_drains_is_not_ready_and_still_answers_what_it_took(tmp_path: Path, engine: Engine, by: str):
    engine.load("m")
    model = engine.model("m")
    instance = model.instances[0].instance
    run, leave, entered = instance.run, threading.Event(), threading.Event()

    def held(*arguments: object) -> object:
        entered.set()
        assert leave.wait(60)
        return run(*arguments)

    instance.run = held
    answers: list = []
    engine.submit(InferenceRequest("m", dict(ROW), reply=answers.append))
    assert entered.wait(60)
    rest = []
    if by == "unload":
        engine.unload("m")
    else:
        write_model(tmp_path, "m", MODEL, version=2)
        engine.load("m")
        rest = [("m", "2", "READY", "")]
    try:
        assert rows(engine) == [("m", "1", "UNLOADING", "unloaded"), *rest]
        with pytest.raises(UnavailableError, match="version 1 is not at ready state"):
            engine.infer("m", ROW, model_version="1")
        if by == "unload":
            with pytest.raises(NotFoundError, match="has no available versions"):
                engine.infer("m", ROW)
        else:
            assert engine.infer("m", ROW).model_version == "2"
        assert engine.ready()
        closing = [thread for thread in threading.enumerate() if thread.name.startswith("close ")]
        assert [thread for thread in closing if not thread.daemon] == [], "the process could not end"
        assert not engine.model_ready("m", "1")
        assert [row.version for row in engine.repository_index(ready=True).models] == [row[1] for row in rest]
    finally:
        leave.set()
    until(lambda: rows(engine) == [("m", "1", "UNAVAILABLE", "unloaded"), *rest])
    until(lambda: not engine._control._draining._threads)
    assert [answer.error for answer in answers] == [None]


def test_nothing_begins_after_the_end(tmp_path: Path, opening: Opening):
    write_model(tmp_path, "m", MODEL)
    engine = Engine(tmp_path)
    engine.start()
    assert [name for name in opening.keeping if name.startswith(("load", "open", "control"))] == []
    loaded = engine.model("m")
    engine.start()
    write_model(tmp_path, "m", MODEL, version=2)
    engine.start()
    assert engine.model("m") is loaded, "a second start does nothing"
    assert engine.shutdown()
    for begin in (engine.begin_load, engine.begin_unload):
        with pytest.raises(UnavailableError, match="Server exiting"):
            begin("m").result(60)
    assert not engine.live()
    assert engine.stopping


def test_a_machine_without_threads_for_loads_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(1100):  # more than may wait at a time
            with pytest.raises(UnavailableError, match="cannot start a thread"):
                engine.load("m")
        assert not engine.loading
    engine.load("m")
    engine.infer("m", ROW)


def test_a_folder_that_vanishes_is_told(tmp_path: Path, engine: Engine):
    engine.load("m")
    for path in sorted((tmp_path / "m").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "m").rmdir()
    with pytest.raises(InternalError, match=f"failed to load 'm', failed to poll .*no folder 'm' in {tmp_path}"):
        engine.load("m")
    engine.infer("m", ROW)


def test_a_repository_that_vanishes_before_the_start(tmp_path: Path):
    for exits in (True, False):
        (tmp_path / "models").mkdir()
        engine = Engine(tmp_path / "models", options=EngineOptions(exit_on_error=exits))
        (tmp_path / "models").rmdir()
        if exits:
            with pytest.raises(NotFoundError):
                engine.start()
        else:
            engine.start()
            assert not engine.live()
            with pytest.raises(UnavailableError, match="Server not ready"):
                engine.infer("m", ROW)
        engine.shutdown()


def test_a_name_in_two_repositories_is_told_in_the_index(tmp_path: Path):
    for place in ("one", "two"):
        write_model(tmp_path / place, "m", MODEL)
    write_model(tmp_path / "two", "n", MODEL)
    with Engine(tmp_path / "one", tmp_path / "two", options=EXPLICIT) as engine:
        (first, second) = rows(engine)
        assert first == ("m", "", "UNAVAILABLE", "model appears in two or more repositories")
        assert second == ("n", "", "", "")
        with pytest.raises(InternalError, match="is in several repositories") as refusal:
            engine.load("m")
        assert f"{tmp_path / 'one' / 'm'}, {tmp_path / 'two' / 'm'}" in str(refusal.value)


# --- settings ---


@pytest.mark.parametrize(("settings", "batch_size"), [
    ({"onnxruntime": {"default-max-batch-size": "7"}}, 7),
    ({"": {"default-max-batch-size": "5"}}, 5),
    ({"": {"default-max-batch-size": "5"}, "onnxruntime": {"default-max-batch-size": "123456789"}}, 123456789),
    ({"other": {"default-max-batch-size": "9"}}, 4),
    ({"onnxruntime": {"something-else": "9"}}, 4),
    ({}, 4),
])  # fmt: skip
def test_the_batch_size_of_models_that_say_none(tmp_path: Path, settings: dict, batch_size: int):
    write_model(tmp_path, "m", MODEL)
    with Engine(tmp_path, options=EngineOptions(backend_config=settings)) as engine:
        config = engine.model_config("m")
        assert config.max_batch_size == batch_size
        assert list(config.dynamic_batching.preferred_batch_size) == [batch_size]
        assert config.version_policy.latest.num_versions == 1
        assert config.optimization.input_pinned_memory.enable


def test_a_model_that_does_not_batch_gets_no_batcher(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.identity(shape=(4,)))
    with Engine(tmp_path) as engine:
        config = engine.model_config("m")
        assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1234567890", "²"])
def test_a_batch_size_that_is_none(tmp_path: Path, text: str):
    for owner, words in (
        ("onnxruntime", "--backend-config=onnxruntime,default-max"),
        ("", "--backend-config=default-max"),
    ):
        with pytest.raises(InvalidArgumentError, match=f"{words}-batch-size={text}: expected a whole number"):
            Engine(tmp_path, options=EngineOptions(backend_config={owner: {"default-max-batch-size": text}}))


def test_without_auto_completion_a_platform_or_a_backend_must_be_given(tmp_path: Path):
    tensors = """
        input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] }
        output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] }
        max_batch_size: 2
    """
    write_model(tmp_path, "platform", MODEL, 'platform: "onnxruntime_onnx"' + tensors)
    write_model(tmp_path, "backend", MODEL, 'backend: "onnxruntime"' + tensors)
    write_model(tmp_path, "neither", MODEL, tensors)
    write_model(tmp_path, "bare", MODEL)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit", auto_complete_config=False)) as engine:
        for name in ("platform", "backend"):
            engine.load(name)
            assert engine.infer(name, ROW)
        assert engine.model_config("platform").backend == "onnxruntime"
        assert engine.model_config("backend").platform == ""
        with pytest.raises(
            InvalidArgumentError,
            match=r'backend: found neither backend nor platform.*fix: write backend: "onnxruntime"',
        ):
            engine.load("neither")
        with pytest.raises(ServerError, match=r"config\.pbtxt.*as auto-completion is off"):
            engine.load("bare")


@pytest.mark.parametrize(("retries", "loads"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_version_that_cannot_be_loaded_is_tried_again(tmp_path: Path, retries: int, loads: bool):
    tries = tmp_path / "tries"
    write_python_model(
        tmp_path / "models",
        "m",
        IDENTITY
        + f"""
    def initialize(self, args):
        with open({str(tries)!r}, "a+") as file:
            file.write("x")
            file.seek(0)
            if len(file.read()) < 3:
                raise RuntimeError("the weights are not there yet")
""",
    )
    options = EngineOptions(model_control_mode="explicit", model_load_retry_count=retries)
    with Engine(tmp_path / "models", options=options) as engine:
        if loads:
            engine.load("m")
            assert engine.infer("m", {"INPUT0": ROW["INPUT0"][0]}).outputs["OUTPUT0"].shape == (4,)
            assert len(tries.read_text()) == 3
        else:
            with pytest.raises(InvalidArgumentError, match="the weights are not there yet"):
                engine.load("m")
            assert len(tries.read_text()) == retries + 1
