"""Ensembles with decoupled steps: who waits for whom, and what the end of one means for the others."""

import threading
from pathlib import Path

import pytest

from decoupled_steps import ADD_CONFIG, CONFIG, ask, heard, integers, numbers, write_decoupled, write_steps
from ensemble_models import ensemble, write_ensemble
from python_models import write_python_model
from scheduled import Answers
from tcli_server import Engine, InferenceResponse
from tcli_server.errors import CancelledError, InternalError, UnavailableError
from tcli_server.models.check import check_repository
from tcli_server.window import ResponseWindow
from waiting import until


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The steps, and all ensembles of them."""
    write_steps(tmp_path)
    return tmp_path


ENDLESS = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            while not sender.is_cancelled():
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([1], np.int32))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
ENDLESS_STEPS = [("endless", {"IN": "IN"}, {"OUT": "x"}), ("identity", {"INPUT0": "x"}, {"OUTPUT0": "OUT"})]


@pytest.mark.parametrize("limit", ["", "max_inflight_requests: 3"])
def test_a_client_that_is_gone_stops_a_step_that_never_ends(repository: Path, limit: str):
    write_python_model(repository, "endless", ENDLESS, CONFIG.format(dims=-1))
    text = ensemble([integers("IN", "-1")], [integers("OUT")], ENDLESS_STEPS, 0)
    write_ensemble(repository, "stream", text.replace("ensemble_scheduling {", f"ensemble_scheduling {{ {limit}"))
    with Engine(repository) as engine:
        for _ in range(3):
            request, answers = ask(engine, "stream", [1])
            answers.wait(10)
            assert request.cancel()
            until(lambda: all(model.idle for model in engine.models()))
            assert isinstance(answers.responses[-1].error, CancelledError)
        assert engine.model("endless").statistics.failure_count["CANCELED"] == 3
        assert engine.model("stream").statistics.failure_count["CANCELED"] == 3
        assert engine._pending.held == 0


def test_an_error_behind_a_step_that_never_ends_reaches_the_client(repository: Path):
    write_python_model(repository, "endless", ENDLESS, CONFIG.format(dims=-1))
    write_python_model(repository, "picky", "class TritonPythonModel:\n    def execute(self, requests): return 1", ADD_CONFIG.format(dims=-1))  # fmt: skip
    steps = [ENDLESS_STEPS[0], ("picky", {"A": "x", "B": "IN"}, {"SUM": "OUT"})]
    write_ensemble(repository, "stream", ensemble([integers("IN", "-1")], [integers("OUT")], steps, 0))
    with Engine(repository) as engine:
        _, answers = ask(engine, "stream", [1])
        (failed,) = answers.wait(1)
        assert failed.final
        assert "(step 2, model 'picky')" in str(failed.error)
        until(lambda: all(model.idle for model in engine.models()))


@pytest.mark.parametrize(("name", "most"), [("sequential", 258), ("wrapped", 515)])
def test_a_step_waits_for_a_client_that_does_not_read(repository: Path, name: str, most: int):
    """Responses count 4 KiB at least, and 1 MiB of them may be ahead of the client: 256, and one that is under way."""
    write_decoupled(repository, "sequential", "wrapped")
    window = ResponseWindow(1)
    answers = Answers()

    def reply(response: InferenceResponse) -> None:
        window.add(4)
        answers(response)

    with Engine(repository) as engine:
        _, _ = ask(engine, name, range(5000), window=window, reply=reply)
        answers.wait(256)
        other = ask(engine, name, [1])[1]  # behind the first one, as there is one instance
        assert len(answers.responses) <= most
        assert engine.model("identity").statistics.success_count <= most
        assert not other.responses
        taken = 0
        while not answers.responses[-1].final:
            until(lambda taken=taken: len(answers.responses) > taken)
            count = len(answers.responses) - taken
            taken += count
            window.take(4 * count)
        assert numbers([response for response in answers.responses if not response.empty]) == list(range(5000))
        assert numbers(heard(other, 1)) == [1]


def hold(engine: Engine, name: str) -> tuple[threading.Event, list[int]]:
    """Make an ONNX model wait; with each run it notes how many requests it has."""
    gate, seen = threading.Event(), []
    model = engine.model(name)
    for worker in model._scheduler._workers:
        worker._quickness._most = worker._quickness.limit = 0  # no thread but the worker's may wait here
    instance = model.instances[0].instance
    run = instance.run

    def held(inputs: dict, outputs: list) -> list:
        assert gate.wait(60)
        seen.append(model.pending + 1)
        return run(inputs, outputs)

    instance.run = held
    return gate, seen


def test_a_step_waits_for_those_that_follow(repository: Path):
    write_decoupled(repository, "sequential")
    with Engine(repository) as engine:
        gate, seen = hold(engine, "identity")
        _, answers = ask(engine, "sequential", range(3000))
        until(lambda: engine.model("identity").pending >= 255)
        gate.set()
        assert numbers(heard(answers, 3000)) == list(range(3000))
        assert max(seen) <= 258


@pytest.mark.parametrize("limit", [1, 4])
def test_no_more_runs_of_a_step_than_allowed_are_in_flight(repository: Path, limit: int):
    write_decoupled(repository, "sequential", more=f"max_inflight_requests: {limit}")
    with Engine(repository) as engine:
        gate, seen = hold(engine, "identity")
        asked = [ask(engine, "sequential", range(40))[1] for _ in range(6)]
        until(lambda: engine.model("identity").pending == limit - 1)
        gate.set()
        for answers in asked:
            assert numbers(heard(answers, 40)) == list(range(40))
        assert max(seen) <= limit
        assert len(seen) == 6 * 40


def test_whoever_fails_or_goes_gives_back_what_others_wait_for(repository: Path):
    write_decoupled(repository, "sequential", more="max_inflight_requests: 1")
    with Engine(repository) as engine:
        for _ in range(5):
            failing = ask(engine, "sequential", [1, -1])[1]
            going, gone = ask(engine, "sequential", range(2000))
            staying = ask(engine, "sequential", range(10))[1]
            going.cancel()
            assert numbers(heard(staying, 10)) == list(range(10))
            until(lambda failing=failing: bool(failing.responses) and failing.responses[-1].final)
            assert isinstance(failing.responses[-1].error, InternalError)
            assert isinstance(gone.responses[-1].error, CancelledError)
        until(lambda: all(model.idle for model in engine.models()))


def test_a_limit_holds_for_ensembles_of_plain_models_too(repository: Path):
    steps = [("identity", {"INPUT0": "IN"}, {"OUTPUT0": "OUT"})]
    text = ensemble([integers("IN", "-1")], [integers("OUT", "-1")], steps, 0)
    write_ensemble(
        repository, "plain", text.replace("ensemble_scheduling {", "ensemble_scheduling { max_inflight_requests: 2")
    )
    with Engine(repository) as engine:
        gate, seen = hold(engine, "identity")
        asked = [ask(engine, "plain", [number])[1] for number in range(500)]
        gate.set()
        assert [numbers(answers.wait(1)) for answers in asked] == [[number] for number in range(500)]
        assert max(seen) <= 2


def test_a_full_queue_of_a_step_ends_the_request(repository: Path):
    write_decoupled(repository, "sequential")
    (repository / "identity" / "config.pbtxt").open("a").write(
        "dynamic_batching { default_queue_policy { max_queue_size: 3 } }"
    )
    with Engine(repository) as engine:
        gate, _ = hold(engine, "identity")
        _, answers = ask(engine, "sequential", range(50))
        until(lambda: engine.model("identity").statistics.fail_count > 0)
        gate.set()
        until(lambda: bool(answers.responses) and answers.responses[-1].final)
        assert isinstance(answers.responses[-1].error, UnavailableError)
        assert "Exceeds maximum queue size" in str(answers.responses[-1].error)
        until(lambda: all(model.idle for model in engine.models()))


@pytest.mark.parametrize("first", ["repeat", "sequential"])
def test_a_model_in_two_steps_never_waits_for_itself(repository: Path, first: str):
    write_decoupled(repository, "sequential")
    steps = [(first, {"IN": "IN"}, {"OUT": "x"}), ("repeat", {"IN": "x"}, {"OUT": "OUT"})]
    write_ensemble(repository, "twice", ensemble([integers("IN", "-1")], [integers("OUT")], steps, 0))
    with Engine(repository) as engine:
        _, answers = ask(engine, "twice", range(1000))
        assert numbers(heard(answers, 1000)) == list(range(1000))


@pytest.mark.parametrize("value", ["-5", '"many"', "12345678901"])
def test_a_limit_that_is_none_is_refused_by_its_line(repository: Path, value: str):
    write_decoupled(repository, "simple", more=f"\nmax_inflight_requests: {value}\n")
    problem = check_repository(repository, "simple")[0]
    text = (repository / "simple" / "config.pbtxt").read_text().splitlines()
    assert problem.line == next(number for number, line in enumerate(text, 1) if "max_inflight_requests" in line)
