"""How a request runs through the steps of an ensemble."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

import onnx_models
from ensemble_models import ensemble, tensor, write_ensemble
from python_models import IDENTITY, IDENTITY_CONFIG, write_python_model
from repositories import write_model
from sequence_models import sums, sums_config
from tcli_server import Engine, InferenceRequest
from tcli_server.errors import CancelledError, InternalError, InvalidArgumentError, UnavailableError
from tcli_server.request import InferenceResponse
from waiting import until

A = np.arange(32, dtype=np.float32).reshape(2, 16)
B = np.ones((2, 16), np.float32)


def count(engine: Engine, name: str) -> tuple[int, int]:
    """Requests that succeeded and failed."""
    statistics = engine.model(name).statistics
    return statistics.success_count, statistics.fail_count


def test_steps_run_in_the_order_of_their_tensors(repository: Path):
    with Engine(repository) as engine:
        outputs = engine.infer("pipe", {"A": A, "B": B}).outputs
        assert list(outputs) == ["TWICE", "DIFFERENCE"]
        assert np.array_equal(outputs["TWICE"], 2 * A + B)
        assert np.array_equal(outputs["DIFFERENCE"], A - B)
        for name in ("pipe", "first", "second"):
            assert count(engine, name) == (1, 0)


def test_what_nobody_wants_is_not_computed(repository: Path):
    with Engine(repository) as engine:
        outputs = engine.infer("pipe", {"A": A, "B": B}, outputs=["DIFFERENCE"]).outputs
        assert list(outputs) == ["DIFFERENCE"]
        assert (count(engine, "first"), count(engine, "second")) == ((1, 0), (0, 0))


def test_an_ensemble_in_an_ensemble(repository: Path):
    steps = [
        ("pipe", {"A": "A", "B": "B"}, {"TWICE": "t", "DIFFERENCE": "d"}),
        ("third", {"INPUT0": "t", "INPUT1": "d"}, {"OUTPUT0": "ALL"}),
    ]
    write_ensemble(repository, "outer", ensemble(["A", "B"], ["ALL"], steps))
    with Engine(repository) as engine:
        assert np.array_equal(engine.infer("outer", {"A": A, "B": B}).outputs["ALL"], 3 * A)
        with pytest.raises(InvalidArgumentError, match="'outer'"):
            engine.infer("outer", {"A": A})


def test_independent_steps_run_side_by_side(repository: Path):
    steps = [
        ("first", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "X"}),
        ("second", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT1": "Y"}),
    ]
    write_ensemble(repository, "wide", ensemble(["A", "B"], ["X", "Y"], steps))
    together = threading.Barrier(2, timeout=60)
    with Engine(repository) as engine:
        for name in ("first", "second"):
            instance = engine.model(name).instances[0].instance
            instance.run = lambda inputs, outputs, run=instance.run: (together.wait(), run(inputs, outputs))[1]
        outputs = engine.infer("wide", {"A": A, "B": B}).outputs
        assert np.array_equal(outputs["X"], A + B)
        assert np.array_equal(outputs["Y"], A - B)


def test_many_requests_share_the_batches_of_the_steps(repository: Path):
    with Engine(repository) as engine, ThreadPoolExecutor(16) as clients:

        def ask(number: int) -> bool:
            value = np.full((1, 16), number, np.float32)
            return bool((engine.infer("pipe", {"A": value, "B": B[:1]}).outputs["TWICE"] == 2 * number + 1).all())

        assert all(clients.map(ask, range(400)))
        for name in ("pipe", "first", "second"):
            assert count(engine, name) == (400, 0)
            assert engine.model(name).idle
        assert engine._pending.held == 0


def test_an_error_names_the_ensemble_and_keeps_its_kind(repository: Path):
    with Engine(repository) as engine:
        instance = engine.model("second").instances[0].instance

        def failing(*_: object) -> None:
            raise InternalError("onnx runtime error: no")

        instance.run = failing
        with pytest.raises(InternalError, match=r"^in ensemble 'pipe', .*no \(step 1, model 'second'\)$"):
            engine.infer("pipe", {"A": A, "B": B})
        assert (count(engine, "pipe"), count(engine, "first"), count(engine, "second")) == ((0, 1), (1, 0), (0, 1))
        assert engine.infer("pipe", {"A": A, "B": B}, outputs=["DIFFERENCE"]).outputs.keys() == {"DIFFERENCE"}


def test_a_request_that_does_not_fit_reaches_no_step(repository: Path):
    with Engine(repository) as engine:
        with pytest.raises(InvalidArgumentError, match="for model 'pipe'"):
            engine.infer("pipe", {"A": A[:, :4], "B": B})
        with pytest.raises(InvalidArgumentError, match="must be <= 8 for 'pipe'"):
            engine.infer("pipe", {"A": np.ones((9, 16), np.float32), "B": np.ones((9, 16), np.float32)})
        assert count(engine, "first") == (0, 0)


@pytest.mark.parametrize("outer", [0, 8])
def test_a_batch_dimension_is_added_and_taken_away_between_models(tmp_path: Path, outer: int):
    write_model(tmp_path, "batches", onnx_models.identity(shape=("N", 4)), "max_batch_size: 8")
    config = """backend: "onnxruntime" max_batch_size: 0
        input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] }"""
    write_model(tmp_path, "alone", onnx_models.identity(shape=(4,)), config)
    steps = [
        ("alone", {"INPUT0": "IN"}, {"OUTPUT0": "a"}),
        ("batches", {"INPUT0": "a"}, {"OUTPUT0": "b"}),
        ("alone", {"INPUT0": "b"}, {"OUTPUT0": "OUT"}),
    ]
    write_ensemble(tmp_path, "mixed", ensemble([tensor("IN", "4")], [tensor("OUT", "4")], steps, outer))
    given = np.arange(4, dtype=np.float32)
    with Engine(tmp_path) as engine:
        answer = engine.infer("mixed", {"IN": given[np.newaxis] if outer else given}).outputs["OUT"]
        assert answer.tolist() == ([given.tolist()] if outer else given.tolist())


def test_flags_and_ids_of_sequences_reach_the_steps(repository: Path):
    write_model(repository, "sums", sums(), sums_config("max_sequence_idle_microseconds: 3600000000"))
    steps = [("sums", {"INPUT": "IN"}, {"OUTPUT": "SUM", "SEEN": "SEEN"})]
    text = ensemble([tensor("IN", "1", "INT32")], [tensor("SUM", "1", "INT32"), tensor("SEEN", "4", "INT32")], steps, 4)
    write_ensemble(repository, "stateful", text)
    with Engine(repository) as engine:
        seen = []
        for step in range(3):
            response = engine.infer(
                "stateful", {"IN": np.full((1, 1), 5, np.int32)}, sequence_id=9, sequence_start=step == 0,
                sequence_end=step == 2,
            )  # fmt: skip
            outputs = response.outputs
            assert response.parameters == {"sequence_id": 9, "sequence_start": step == 0, "sequence_end": step == 2}
            seen.append([*outputs["SUM"].ravel(), *outputs["SEEN"].ravel()])
        assert seen == [[5, 1, 0, 1, 9], [10, 0, 0, 1, 9], [15, 0, 1, 1, 9]]
        with pytest.raises(InvalidArgumentError, match=r"in ensemble 'stateful', .*START"):
            engine.infer("stateful", {"IN": np.full((1, 1), 5, np.int32)}, sequence_id=9)


class Held:
    """Holds back a model; `entered` once for each run."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)
        model = engine.model(name)
        for worker in model._scheduler._workers:
            worker._quickness._most = worker._quickness.limit = 0  # no thread but the worker's may wait here
        instance = model.instances[0].instance
        run = instance.run

        def held(inputs: dict, outputs: list) -> list:
            self.entered.release()
            assert self.gate.wait(60)
            return run(inputs, outputs)

        instance.run = held


def test_a_client_that_is_gone_cancels_the_steps(repository: Path):
    answers: list[InferenceResponse] = []
    with Engine(repository) as engine:
        held = Held(engine, "first")
        requests = [InferenceRequest("pipe", {"A": A, "B": B}, reply=answers.append) for _ in range(6)]
        engine.submit(requests[0])
        assert held.entered.acquire(timeout=60)
        for request in requests[1:]:
            engine.submit(request)
        until(lambda: engine.model("first").pending == 5)
        for request in requests[1:]:
            assert request.cancel()
        assert engine.model("first").pending == 0
        held.gate.set()
        until(lambda: len(answers) == 6 and engine.model("pipe").idle)
        assert [isinstance(answer.error, CancelledError) for answer in answers] == [True] * 5 + [False]
        assert engine.model("first").statistics.failure_count["CANCELED"] == 5
        assert engine.model("pipe").statistics.failure_count["CANCELED"] == 5
        assert count(engine, "second") == (1, 0)
        assert engine._pending.held == 0


def test_a_timeout_is_what_is_left_of_it(repository: Path):
    policy = "default_queue_policy { default_timeout_microseconds: 3600000000 allow_timeout_override: true }"
    text = (repository / "second" / "config.pbtxt").read_text()
    (repository / "second" / "config.pbtxt").write_text(
        text.replace("dynamic_batching { }", f"dynamic_batching {{ {policy} }}")
    )
    with Engine(repository) as engine, ThreadPoolExecutor(2) as clients:
        held = Held(engine, "second")
        first = clients.submit(engine.infer, "pipe", {"A": A, "B": B})
        assert held.entered.acquire(timeout=60)
        with pytest.raises(UnavailableError, match=r"in ensemble 'pipe', .*[Tt]imeout"):
            engine.infer("pipe", {"A": A, "B": B}, timeout_us=30_000)
        held.gate.set()
        assert first.result(60).error is None


def test_models_under_a_request_cannot_unload(repository: Path):
    from tcli_server import EngineOptions

    with (
        Engine(repository, options=EngineOptions(model_control_mode="explicit")) as engine,
        ThreadPoolExecutor(1) as clients,
    ):
        engine.load("pipe")
        held = Held(engine, "first")
        answer = clients.submit(engine.infer, "pipe", {"A": A, "B": B})
        assert held.entered.acquire(timeout=60)
        engine.unload("second")
        held.gate.set()
        assert np.array_equal(answer.result(60).outputs["TWICE"], 2 * A + B)
        until(
            lambda: [row.state for row in engine.repository_index().models if row.name == "second"] == ["UNAVAILABLE"]
        )


def test_what_runs_through_an_ensemble_at_the_end_is_answered(repository: Path):
    answers: list[InferenceResponse] = []
    engine = Engine(repository)
    engine.start()
    held = Held(engine, "first")
    for _ in range(5):
        engine.submit(InferenceRequest("pipe", {"A": A, "B": B}, reply=answers.append))
    ended = threading.Thread(target=engine.shutdown, args=(60,))
    ended.start()
    until(lambda: engine.stopping)
    held.gate.set()
    ended.join(60)
    assert [answer.error for answer in answers] == [None] * 5


def test_a_client_that_is_gone_before_the_step_with_the_state_ends_its_sequence(repository: Path):
    write_model(repository, "sums", sums(), sums_config("max_sequence_idle_microseconds: 3600000000"))
    steps = [("ids", {"INPUT0": "IN"}, {"OUTPUT0": "t"}), ("sums", {"INPUT": "t"}, {"OUTPUT": "SUM"})]
    config = """backend: "onnxruntime" max_batch_size: 4
        input { name: "INPUT0" data_type: TYPE_INT32 dims: [ 1 ] } output { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 1 ] }"""
    write_model(repository, "ids", onnx_models.identity(TensorProto.INT32, ("N", 1)), config)
    text = ensemble([tensor("IN", "1", "INT32")], [tensor("SUM", "1", "INT32")], steps, 4)
    write_ensemble(repository, "stateful", text)
    given = {"IN": np.full((1, 1), 5, np.int32)}
    with Engine(repository) as engine:
        engine.infer("stateful", given, sequence_id=9, sequence_start=True)
        engine.infer("stateful", given, sequence_id=10, sequence_start=True)
        held = Held(engine, "ids")
        request = InferenceRequest("stateful", given, sequence_id=9)
        engine.submit(request)
        assert held.entered.acquire(timeout=60)
        assert request.cancel()
        assert list(engine.model("sums")._scheduler._runs) == [10]
        held.gate.set()
        assert engine.infer("stateful", given, sequence_id=10).outputs["SUM"].item() == 10


def test_outputs_that_no_step_gave_are_told_of_in_the_verbose_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    config = IDENTITY_CONFIG + 'output { name: "OUTPUT1" data_type: TYPE_FP32 dims: [-1] }'
    write_python_model(tmp_path, "half", IDENTITY, config)
    steps = [("half", {"INPUT0": "A"}, {"OUTPUT0": "X", "OUTPUT1": "Y"})]
    write_ensemble(tmp_path, "pipe", ensemble(["A"], ["X", "Y"], steps, max_batch_size=0))
    with caplog.at_level("DEBUG", "tcli_server"), Engine(tmp_path) as engine:
        assert list(engine.infer("pipe", {"A": np.ones(16, np.float32)}).outputs) == ["X"]
        assert "in ensemble 'pipe': Composing models did not output tensor Y" in caplog.text
        caplog.clear()
        engine.infer("pipe", {"A": np.ones(16, np.float32)}, outputs=["X"])
        assert "did not output" not in caplog.text
