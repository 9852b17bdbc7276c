"""Iterative sequences: a model that hands a request back and gets it again, until it has answered."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format

from python_models import HEADER, write_python_model
from scheduled import Answers
from tcli_server import Engine, InferenceRequest
from tcli_server.errors import CancelledError, InternalError, InvalidArgumentError
from waiting import until

CONFIG = """
backend: "python"
max_batch_size: {size}
input {{ name: "IN" data_type: TYPE_INT32 dims: [ 1 ] }}
output {{ name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }}
output {{ name: "SEEN" data_type: TYPE_INT32 dims: [ -1 ] }}
model_transaction_policy {{ decoupled: {decoupled} }}
sequence_batching {{
  iterative_sequence: {iterative}
  {more}
  control_input {{ name: "START" control {{ kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }} }}
  control_input {{ name: "READY" control {{ kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] }} }}
  control_input {{ name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{kind} }} }}
}}
"""
MODEL = """
AGAIN = pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def number(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0]


class TritonPythonModel:
    def initialize(self, args):
        self.decoupled = '"decoupled": true' in args["model_config"] or '"decoupled":true' in args["model_config"]
        self.left, self.seen = {}, {}

    def execute(self, requests):
        answers = [self.step(request, len(requests)) for request in requests]
        return None if self.decoupled else answers

    def step(self, request, count):
        if not number(request, "READY"):
            if self.decoupled:
                request.get_response_sender().send(flags=FINAL)
                return None
            return pb_utils.InferenceResponse([])
        key = number(request, "CORRID")
        if number(request, "START"):
            self.left[key], self.seen[key] = int(number(request, "IN")), []
        self.left[key] -= 1
        self.seen[key] += [int(number(request, "START")), request.flags(), count]
        if self.left[key] == 664:
            raise ValueError("six hundred and sixty-four")
        if self.left[key] > 0:
            request.set_release_flags(AGAIN)
        if self.decoupled:
            request.get_response_sender().send(self.answer(key), 0 if self.left[key] > 0 else FINAL)
            return None
        return self.answer(key) if self.left[key] <= 0 else None

    def answer(self, key):
        left = np.array([[self.left[key]]], np.int32)
        seen = np.array([[int(key) if not isinstance(key, bytes) else -1, *self.seen[key]]], np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUT", left), pb_utils.Tensor("SEEN", seen)])
"""
STRATEGIES = {"direct": "direct { }", "oldest": "oldest { max_candidate_sequences: 4 }"}
Serve = Callable[..., Engine]


@pytest.fixture
def countdown(tmp_path: Path) -> Iterator[Serve]:
    """Serves `countdown`: IN steps, each of which answers how many are left, or only the last where it is not decoupled."""
    with ExitStack() as stack:

        def start(
            more: str = "", size: int = 4, decoupled: bool = True, iterative: bool = True, kind: str = "INT64"
        ) -> Engine:
            flags = {"decoupled": str(decoupled).lower(), "iterative": str(iterative).lower()}
            write_python_model(tmp_path, "countdown", MODEL, CONFIG.format(size=size, more=more, kind=kind, **flags))
            return stack.enter_context(Engine(tmp_path))

        yield start


def ask(engine: Engine, steps: int, **more: object) -> tuple[InferenceRequest, Answers]:
    """A request of so many steps, on its way."""
    answers = Answers()
    array = np.array([[steps]], np.int32)
    request = InferenceRequest("countdown", {"IN": array}, takes_many=True, reply=answers, **more)
    engine.submit(request)
    return request, answers


def left(answers: Answers, steps: int) -> list[int]:
    """What its responses say: how many steps are left."""
    responses = answers.wait(steps)
    assert [response.final for response in responses] == [False] * (steps - 1) + [True]
    assert all(response.error is None for response in responses), responses
    return [int(response.outputs["OUT"].ravel()[0]) for response in responses]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_step_answers_and_only_the_first_one_starts(countdown: Serve, strategy: str):
    engine = countdown(STRATEGIES[strategy])
    _, answers = ask(engine, 4)
    assert left(answers, 4) == [3, 2, 1, 0]
    seen = answers.responses[-1].outputs["SEEN"].ravel().tolist()
    assert seen == [
        1,
        1,
        1,
        1,
        0,
        0,
        1,
        0,
        0,
        1,
        0,
        0,
        1,
    ]  # id 1; then START, flags and the size of the batch, at each step
    until(lambda: engine.model("countdown").idle)
    statistics = engine.statistics("countdown").model_stats[0]
    assert (statistics.execution_count, statistics.inference_count) == (4, 1)
    assert statistics.inference_stats.success.count == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_that_is_not_decoupled_answers_at_the_last_step(countdown: Serve, strategy: str):
    engine = countdown(STRATEGIES[strategy], decoupled=False)
    for steps, number in ((5, 1), (1, 2)):
        response = engine.infer("countdown", {"IN": np.array([[steps]], np.int32)})
        assert int(response.outputs["OUT"].ravel()[0]) == 0
        assert response.outputs["SEEN"].ravel().tolist() == [number, 1, 1, 1, *[0, 0, 1] * (steps - 1)]
    statistics = engine.statistics("countdown").model_stats[0]
    assert (statistics.execution_count, statistics.inference_stats.success.count) == (6, 2)
    assert statistics.inference_stats.compute_infer.ns == statistics.batch_stats[0].compute_infer.ns  # of all steps


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [0, 4])
def test_many_at_a_time_wait_for_slots_and_never_mix(countdown: Serve, strategy: str, size: int):
    engine = countdown(STRATEGIES[strategy] if size else "", size=4)
    asked = [(steps, ask(engine, steps)[1]) for steps in [1, 7, 3, 12, 2, 9, 5, 8] * 4]
    for steps, answers in asked:
        assert left(answers, steps) == list(range(steps - 1, -1, -1))
    statistics = engine.statistics("countdown").model_stats[0]
    assert statistics.inference_stats.success.count == len(asked)
    assert statistics.execution_count < sum(steps for steps, _ in asked)  # they share batches
    until(lambda: engine.model("countdown").idle)


def test_ids_of_clients_and_of_the_server_are_never_the_same(countdown: Serve):
    engine = countdown()
    _, mine = ask(engine, 300, sequence_id=1, sequence_start=True)
    mine.wait(1)
    others = [ask(engine, 3)[1] for _ in range(3)]
    for answers in others:
        assert left(answers, 3) == [2, 1, 0]
        assert answers.responses[0].outputs["SEEN"].ravel()[0] != 1
    assert left(mine, 300)[-1] == 0
    until(lambda: engine.model("countdown").idle)
    with pytest.raises(InvalidArgumentError, match=r"sequence 1 .*must specify the START flag"):
        raise ask(engine, 3, sequence_id=1)[1].wait(1)[0].error
    assert left(ask(engine, 2, sequence_id=1, sequence_start=True)[1], 2) == [1, 0]


def test_requests_of_one_id_run_one_after_the_other(countdown: Serve):
    engine = countdown()
    asked = [ask(engine, 20, sequence_id=7, sequence_start=True)[1] for _ in range(3)]
    for answers in asked:
        assert left(answers, 20) == list(range(19, -1, -1))


def test_the_servers_ids_are_texts_where_the_model_takes_texts(countdown: Serve):
    engine = countdown(kind="STRING")
    assert left(ask(engine, 3)[1], 3) == [2, 1, 0]
    assert left(ask(engine, 2, sequence_id="mine", sequence_start=True)[1], 2) == [1, 0]


@pytest.mark.parametrize("decoupled", [True, False])
def test_an_exception_ends_it_and_frees_its_slot(countdown: Serve, decoupled: bool):
    engine = countdown(size=1, decoupled=decoupled)
    for _ in range(2):
        _, answers = ask(engine, 667)
        failed = answers.wait(3 if decoupled else 1)[-1]
        assert failed.final
        assert isinstance(failed.error, InternalError)
        assert "ValueError: six hundred" in str(failed.error)
    assert left(ask(engine, 1)[1], 1) == [0]


def test_a_step_longer_than_the_idle_time_loses_the_sequence(countdown: Serve):
    engine = countdown("max_sequence_idle_microseconds: 1000", size=1)
    slow = "import time\n" + MODEL.replace("self.left[key] -= 1", "time.sleep(0.05); self.left[key] -= 1")
    (engine.repositories[0] / "countdown" / "1" / "model.py").write_text(HEADER + slow)
    engine.load("countdown")
    _, answers = ask(engine, 2)
    first, last = answers.wait(2)
    assert int(first.outputs["OUT"].ravel()[0]) == 1
    assert isinstance(last.error, InvalidArgumentError)
    assert "must specify the START flag on the first request of the sequence" in str(last.error)
    assert "max_sequence_idle_microseconds" in str(last.error)
    assert left(ask(engine, 1)[1], 1) == [0]


@pytest.mark.parametrize(
    "scheduling", ["sequence_batching { direct { } }", "sequence_batching { oldest { } }", "dynamic_batching { }", ""]
)
def test_only_iterative_models_may_have_a_request_again(tmp_path: Path, scheduling: str):
    config = f"""
    backend: "python" max_batch_size: 4
    input {{ name: "IN" data_type: TYPE_INT32 dims: [ 1 ] }}
    output {{ name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }}
    {scheduling}
    """
    code = """
    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            return [None] * len(requests)
    """
    write_python_model(tmp_path, "countdown", code, config)
    with Engine(tmp_path) as engine:
        for _ in range(2):
            sequence = {"sequence_id": 3, "sequence_start": True} if "sequence" in scheduling else {}
            with pytest.raises(InvalidArgumentError) as caught:
                engine.infer("countdown", {"IN": np.ones((1, 1), np.int32)}, **sequence)
            expected = (
                "Request is released with TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, while the model is not configured to "
                "handle such a flag"
            )
            assert expected in str(caught.value)
            assert "iterative_sequence: true" in str(caught.value)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_whoever_is_cancelled_comes_no_more_and_leaves_the_slot(countdown: Serve, strategy: str):
    engine = countdown(STRATEGIES[strategy].replace("4", "1"), size=1)
    request, answers = ask(engine, 600)
    answers.wait(2)
    _, waiting = ask(engine, 3)  # there is one slot
    assert request.cancel()
    assert left(waiting, 3) == [2, 1, 0]
    assert isinstance(answers.responses[-1].error, CancelledError)
    until(lambda: engine.model("countdown").idle)
    before = engine.statistics("countdown").model_stats[0].execution_count
    assert left(ask(engine, 2)[1], 2) == [1, 0]
    until(lambda: engine.model("countdown").idle)
    assert engine.statistics("countdown").model_stats[0].execution_count == before + 2


def test_what_iterates_when_the_model_is_unloaded_is_answered(countdown: Serve):
    engine = countdown()
    _, answers = ask(engine, 200)
    answers.wait(1)
    engine.unload("countdown")
    assert left(answers, 200) == list(range(199, -1, -1))


def test_a_sequence_goes_on_after_a_response_sender_has_answered(tmp_path: Path):
    """What ends a request while its model runs need not be its client who is gone."""
    config = CONFIG.format(size=0, more="", kind="INT32", decoupled="true", iterative="false").replace(
        "[ -1 ]", "[ 1 ]"
    )
    code = """
    class TritonPythonModel:
        def initialize(self, args):
            self.sums = {}

        def execute(self, requests):
            for request in requests:
                key = request.correlation_id()
                start = pb_utils.get_input_tensor_by_name(request, "START").as_numpy()[0]
                value = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
                self.sums[key] = value + (0 if start else self.sums[key])
                request.get_response_sender().send(
                    pb_utils.InferenceResponse([pb_utils.Tensor("OUT", self.sums[key]), pb_utils.Tensor("SEEN", value)]),
                    pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL,
                )
    """
    write_python_model(tmp_path, "countdown", code, config)
    with Engine(tmp_path) as engine:
        for index in range(20):
            answers = Answers()
            request = InferenceRequest(
                "countdown",
                {"IN": np.array([2], np.int32)},
                takes_many=True,
                reply=answers,
                sequence_id=5,
                sequence_start=index == 0,
            )
            engine.submit(request)
            response = answers.wait(1)[0]
            assert response.error is None, response.error
            assert response.outputs["OUT"].tolist() == [2 * index + 2]


def test_a_configuration_in_json_needs_no_quotes_around_names(countdown: Serve):
    """As Triton's parser has it, and its tests of iterative sequences write it."""
    engine = countdown()
    given = json_format.MessageToJson(engine.model_config("countdown"), preserving_proto_field_name=True)
    engine.load("countdown", given.replace('"sequence_batching":', "sequence_batching :"))
    assert left(ask(engine, 2)[1], 2) == [1, 0]
    with pytest.raises(InternalError, match="not a model configuration in JSON"):
        engine.load("countdown", '{name: "' + '\\"' * 200_000)
