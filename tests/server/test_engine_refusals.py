"""What the engine does not serve: refused with the right kind, counted with the right reason, and nothing kept."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from repositories import write_model
from tcli_server import Engine, EngineOptions, InferenceRequest, InferenceResponse
from tcli_server.errors import ErrorKind, InternalError, InvalidArgumentError, NotFoundError, UnavailableError
from tcli_server.observability.log import LOG
from waiting import until

ROW = {"INPUT0": np.ones((1, 4), np.float32)}
ROW_BYTES = 16


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    write_model(tmp_path, "m", onnx_models.identity())
    options = EngineOptions(model_control_mode="explicit", load_models=("m", "m"), max_pending_bytes=2 * ROW_BYTES)
    with Engine(tmp_path, options=options) as running:
        yield running


def submit(engine: Engine, request: InferenceRequest) -> InferenceResponse:
    answers: list[InferenceResponse] = []
    request.reply = answers.append
    engine.submit(request)
    (answer,) = answers
    return answer


def rejected(engine: Engine) -> int:
    return engine.model("m").statistics.failure_count["REJECTED"]


def test_more_bytes_than_may_wait_are_refused_until_others_are_answered(engine: Engine):
    assert engine.max_pending_bytes == 2 * ROW_BYTES
    instance = engine.model("m").instances[0].instance
    run, leave, entered = instance.run, threading.Event(), threading.Event()

    def held(*arguments: object) -> object:
        entered.set()
        assert leave.wait(60)
        return run(*arguments)

    instance.run = held
    done = threading.Semaphore(0)
    for _ in range(2):
        engine.submit(InferenceRequest("m", dict(ROW), reply=lambda _: done.release()))
    assert entered.wait(60)
    try:
        refused = submit(engine, InferenceRequest("m", dict(ROW)))
        assert refused.error.kind is ErrorKind.UNAVAILABLE
        assert str(refused.error) == (
            "requests that wait hold 32 bytes already, of 32 (--max-pending-bytes); this one has 16: try again later"
        )
        assert rejected(engine) == 1
    finally:
        leave.set()
    for _ in range(2):
        assert done.acquire(timeout=60)
    large = np.ones((3, 4), np.float32)
    assert engine.infer("m", {"INPUT0": large}).outputs["OUTPUT0"].shape == (3, 4), "alone, however large"
    assert engine._pending.held == 0


def test_by_default_a_quarter_of_the_memory_may_wait(tmp_path: Path):
    from tcli_server.hardware.memory import usable_memory

    quarter = usable_memory() // 4
    assert abs(Engine(tmp_path).max_pending_bytes - quarter) <= quarter // 10


def test_a_request_that_ended_before_it_came_holds_nothing(engine: Engine):
    request = InferenceRequest("m", dict(ROW))
    request.cancel()
    engine.submit(request)
    assert engine._pending.held == 0
    assert engine.model("m").idle
    assert engine.infer("m", ROW)


def test_a_model_that_stopped_refuses_and_counts_it(engine: Engine):
    """For a moment, when it is unloaded between our look into the table and our call."""
    model = engine.model("m")
    model.stop()
    refused = submit(engine, InferenceRequest("m", dict(ROW)))
    assert refused.error.kind is ErrorKind.UNAVAILABLE
    assert str(refused.error).startswith("Server is stopping, scheduler for model has stopped")
    assert rejected(engine) == 1
    assert engine._pending.held == 0


def test_what_is_no_request_at_all_is_a_defect_that_is_told_and_logged(
    engine: Engine, caplog: pytest.LogCaptureFixture
):
    LOG.addHandler(caplog.handler)
    try:
        answer = submit(engine, InferenceRequest("m", {"INPUT0": [[1, 2, 3, 4]]}))
    finally:
        LOG.removeHandler(caplog.handler)
    assert answer.error.kind is ErrorKind.INTERNAL
    assert str(answer.error) == "AttributeError: 'list' object has no attribute 'nbytes'"
    assert "a request to 'm' could not be submitted" in caplog.text
    assert "Traceback" in caplog.text
    assert engine.infer("m", ROW)


def test_whoever_asks_for_no_priority_and_no_timeout_has_the_models(tmp_path: Path):
    policy = "default_queue_policy { default_timeout_microseconds: 3600000000 allow_timeout_override: true }"
    config = f"dynamic_batching {{ priority_levels: 3 default_priority_level: 2 {policy} }}"
    write_model(tmp_path, "levels", onnx_models.identity(), f"max_batch_size: 1 {config}")
    with Engine(tmp_path) as engine, ThreadPoolExecutor(2) as pool:
        model = engine.model("levels")
        instance = model.instances[0].instance
        run, leave, ran = instance.run, threading.Event(), []

        def held(inputs: dict, outputs: list) -> object:
            ran.append(int(inputs["INPUT0"][0, 0]))
            assert leave.wait(60)
            return run(inputs, outputs)

        instance.run = held
        try:
            engine.submit(InferenceRequest("levels", {"INPUT0": 0 * ROW["INPUT0"]}))
            until(lambda: ran == [0])
            engine.submit(InferenceRequest("levels", {"INPUT0": ROW["INPUT0"]}, priority=2))
            waiting = [pool.submit(engine.infer, "levels", {"INPUT0": 2 * ROW["INPUT0"]})]
            until(lambda: model.pending == 2)
            last = {"INPUT0": 3 * ROW["INPUT0"]}
            waiting.append(pool.submit(lambda: asyncio.run(engine.infer_async("levels", last))))
            until(lambda: model.pending == 3)
        finally:
            leave.set()
        for future in waiting:
            future.result(60)
        assert ran == [0, 1, 2, 3]


def test_versions_that_are_not_there(engine: Engine):
    for version, kind, words in (
        ("2", NotFoundError, "Request for unknown model: 'm' version 2 is not found"),
        (str(2**63 - 1), NotFoundError, f"version {2**63 - 1} is not found"),
        (str(2**63), InvalidArgumentError, "version should be an integral value"),
        ("1" * 5000, InvalidArgumentError, "version should be an integral value"),
        ("1".zfill(20), InvalidArgumentError, "version should be an integral value"),
        ("-1", InvalidArgumentError, "version should be an integral value"),
        ("²", InvalidArgumentError, "version should be an integral value"),
    ):
        with pytest.raises(kind, match=words):
            engine.infer("m", ROW, model_version=version)
    assert engine.infer("m", ROW, model_version="1").model_version == "1"
    assert engine.infer("m", ROW, model_version="01").model_version == "1"
    with pytest.raises(InvalidArgumentError, match="requested model version is not available for model 'm'"):
        engine.statistics("m", "2")
    with pytest.raises(InvalidArgumentError, match="should be an integral value"):
        engine.statistics("m", "x")
    assert len(engine.statistics("m", "1").model_stats) == len(engine.statistics().model_stats) == 1


def test_readiness_as_asked(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.identity())
    write_model(tmp_path, "broken", b"")
    for strict in (True, False):
        engine = Engine(tmp_path, options=EngineOptions(strict_readiness=strict))
        assert (engine.live(), engine.ready()) == (False, False)
        with engine:
            assert (engine.live(), engine.ready()) == (True, not strict)
            assert engine.model_ready("m")
            assert not engine.model_ready("broken")
            engine.begin_shutdown()
            assert (engine.live(), engine.ready(), engine.stopping) == (False, False, True)
            assert not engine.model_ready("m")
            with pytest.raises(UnavailableError, match="Server exiting"):
                engine.infer("m", ROW)


def test_without_one_of_its_repositories_an_engine_serves_none(tmp_path: Path):
    write_model(tmp_path / "there", "m", onnx_models.identity())
    options = EngineOptions(exit_on_error=False)
    with Engine(tmp_path / "there", tmp_path / "gone", options=options) as engine:
        assert list(engine.repository_index().models) == []
        assert list(engine.models()) == []
        with pytest.raises(InternalError, match="no folder 'm' in"):
            engine.load("m")
        with pytest.raises(UnavailableError, match="Server not ready"):
            engine.infer("m", ROW)


def test_loads_and_unloads_are_logged_with_their_outcome(engine: Engine, caplog: pytest.LogCaptureFixture):
    LOG.addHandler(caplog.handler)
    level = LOG.level
    LOG.setLevel(logging.INFO)
    try:
        engine.unload("m")
        engine.load("m")
        with pytest.raises(Exception, match="nothing"):
            engine.load("nothing")
    finally:
        LOG.removeHandler(caplog.handler)
        LOG.setLevel(level)
    told = dict.fromkeys((record.levelname, record.getMessage().split(",")[0]) for record in caplog.records)
    assert list(told) == [
        ("INFO", "unloaded 'm'"),
        ("INFO", "loaded 'm' version 1"),
        ("WARNING", "failed to load 'nothing'"),
    ]
