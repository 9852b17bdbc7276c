"""Business logic scripting: a model asks other models."""

import json
from pathlib import Path

import numpy as np
import pytest

from python_models import IDENTITY_CONFIG, REPEAT, REPEAT_CONFIG, write_python_model
from tcli_server.engine import Engine

CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_INT32 dims: [-1] optional: true }
output { name: "JSON" data_type: TYPE_STRING dims: [1] }
"""
TELLING = """
import json
import threading
import time


def told(what):
    text = np.array([json.dumps(what)], np.object_)
    return [pb_utils.InferenceResponse([pb_utils.Tensor("JSON", text)])]


def ask(model, values, output, **more):
    tensor = pb_utils.Tensor("IN", np.array(values, np.int32))
    return pb_utils.InferenceRequest(model_name=model, inputs=[tensor], requested_output_names=[output], **more)


def values(answers):
    return [int(tensor.as_numpy().flat[0]) for answer in answers for tensor in answer.output_tensors()]


def said(answer):
    return answer.error().message() if answer.has_error() else json.loads(answer.output_tensors()[0].as_numpy()[0])


class TritonPythonModel:
"""


def tell(repository: Path, body: str) -> object:
    """What the model `m`, whose class has this body, says to a request."""
    write_python_model(repository, "m", TELLING + body, CONFIG)
    with Engine(repository) as engine:
        return heard(engine)


def heard(engine: Engine) -> object:
    return json.loads(engine.infer("m", {"IN": np.zeros(1, np.int32)}).outputs["JSON"][0])


def test_the_answers_of_a_decoupled_model_can_be_walked_again(tmp_path: Path):
    write_python_model(tmp_path, "repeat", REPEAT, REPEAT_CONFIG)
    body = """
    def execute(self, requests):
        answers = ask("repeat", [4, 5, 6], "OUT").exec(decoupled=True)
        first = next(iter(answers))
        return told([values([first]), values(answers), values(answers)])
    """
    assert tell(tmp_path, body) == [[4], [4, 5, 6], [4, 5, 6]]


UNTIL_CANCELLED = """
import time


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            self.answer(request.get_response_sender(), int(request.inputs()[0].as_numpy().flat[0]))

    def answer(self, sender, more):
        def send(value, flags=0):
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.full((1, 1), value, np.int32))]), flags)

        send(1)
        deadline = time.monotonic() + 60
        while not sender.is_cancelled() and time.monotonic() < deadline:
            time.sleep(0.001)
        for _ in range(more):
            send(2)
        error = pb_utils.TritonError("stopped", pb_utils.TritonError.CANCELLED)
        sender.send(pb_utils.InferenceResponse(error=error), pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


@pytest.mark.parametrize("more", [0, 3])
def test_a_model_hears_that_an_inference_is_cancelled_and_may_go_on(tmp_path: Path, more: int):
    write_python_model(tmp_path, "until", UNTIL_CANCELLED, REPEAT_CONFIG)
    body = f"""
    def execute(self, requests):
        answers = ask("until", [{more}], "OUT").exec(decoupled=True)
        heard = []
        for answer in answers:
            heard.append([answer.error().message(), answer.error().code()] if answer.has_error() else values([answer]))
            answers.cancel()
        answers.cancel()
        return told([heard, pb_utils.TritonError.CANCELLED])
    """
    heard, code = tell(tmp_path, body)  # type: ignore[misc]
    assert heard == [[1], *[[2]] * more, ["stopped", code]]


def test_an_inference_that_is_dropped_is_cancelled(tmp_path: Path):
    write_python_model(tmp_path, "until", UNTIL_CANCELLED, REPEAT_CONFIG)
    body = """
    def execute(self, requests):
        answers = ask("until", [0], "OUT").exec(decoupled=True)
        first = values([next(iter(answers))])
        del answers
        return told([first, values([next(iter(ask("until", [0], "OUT").exec(decoupled=True)))])])
    """
    assert tell(tmp_path, body) == [[1], [1]]  # the second waits until the first has ended


ECHO = (
    TELLING
    + """
    def execute(self, requests):
        request = requests[0]
        answer = told([
            request.request_id(), request.correlation_id(), request.flags(), request.timeout(),
            json.loads(request.parameters()), sorted(request.requested_output_names()),
        ])[0]
        parameters = {"text": "t\\u00e9xt", "number": -7, "flag": True}
        return [pb_utils.InferenceResponse(answer.output_tensors(), parameters=parameters)]
"""
)


def test_what_a_request_says_arrives_and_so_does_what_the_answer_says(tmp_path: Path):
    write_python_model(tmp_path, "echo", ECHO, CONFIG + "sequence_batching { }\n")
    body = """
    def execute(self, requests):
        request = ask("echo", [1], "JSON", request_id="7", correlation_id=9, timeout=60_000_000, parameters={"a": 1, "b": "c"})
        request.set_flags(pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START)
        first = request.exec()
        request.set_flags(pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END)
        memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU)
        last = ask("echo", [1], "JSON", correlation_id=9, flags=2, trace=request.trace(), preferred_memory=memory).exec()
        return told([said(first), json.loads(first.parameters()), said(last)])
    """
    first, parameters, last = tell(tmp_path, body)  # type: ignore[misc]
    assert first == ["7", 9, 1, 60_000_000, {"a": 1, "b": "c"}, ["JSON"]]
    assert parameters == {"text": "t\u00e9xt", "number": -7, "flag": True}
    assert last == ["", 9, 2, 0, {}, ["JSON"]]


def test_a_time_out_counts_while_the_other_model_has_not_begun(tmp_path: Path):
    policy = "max_batch_size: 1\ndynamic_batching { default_queue_policy { allow_timeout_override: true default_timeout_microseconds: 120000000 } }\n"
    write_python_model(tmp_path, "until", UNTIL_CANCELLED, REPEAT_CONFIG + policy)
    body = """
    def execute(self, requests):
        first = ask("until", [[0]], "OUT").exec(decoupled=True)  # has answered, so it runs
        late = next(iter(ask("until", [[0]], "OUT", timeout=1).exec(decoupled=True)))
        return told([late.error().message(), late.error().code() == pb_utils.TritonError.UNAVAILABLE])
    """
    message, is_unavailable = tell(tmp_path, body)  # type: ignore[misc]
    assert "timeout expired" in message
    assert is_unavailable


def test_a_model_with_several_instances_may_ask_itself(tmp_path: Path):
    body = """
    def execute(self, requests):
        depth = int(requests[0].inputs()[0].as_numpy()[0])
        if depth == 2:
            return told([depth])
        return told([depth, *said(ask("m", [depth + 1], "JSON").exec())])
    """
    write_python_model(tmp_path, "m", TELLING + body, CONFIG + "instance_group { count: 3 }\n")
    with Engine(tmp_path) as engine:
        assert heard(engine) == [0, 1, 2]


@pytest.mark.parametrize("method", ["initialize(self, _)", "auto_complete_config(_)"])
def test_models_cannot_be_asked_before_initialize_has_returned(tmp_path: Path, method: str):
    body = f"""
    {"@staticmethod" if "auto" in method else ""}
    def {method}:
        ask("identity", [1], "OUTPUT0").exec()

    def execute(self, requests):
        return told(1)
    """
    write_python_model(tmp_path, "m", TELLING + body, CONFIG)
    with Engine(tmp_path) as engine:
        assert "BLS is only supported during the 'execute' function" in engine.repository_index().models[0].reason


def test_models_cannot_be_asked_while_it_finalizes(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    body = """
    def execute(self, requests):
        return told(1)

    def finalize(self):
        ask("identity", [1], "OUTPUT0").exec()
    """
    assert tell(tmp_path, body) == 1
    assert "BLS is only supported during the 'execute' function" in caplog.text


def test_threads_of_the_model_ask_at_the_same_time(tmp_path: Path):
    """All eight must be under way for one to be answered."""
    together = """
    class TritonPythonModel:
        def execute(self, requests):
            assert len(requests) == 8, len(requests)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", r.inputs()[0].as_numpy())]) for r in requests]
    """
    batching = (
        "max_batch_size: 8\ndynamic_batching { preferred_batch_size: 8 max_queue_delay_microseconds: 60000000 }\n"
    )
    write_python_model(tmp_path, "together", together, IDENTITY_CONFIG + batching)
    body = """
    def execute(self, requests):
        found = {}

        def one(value):
            tensor = pb_utils.Tensor("INPUT0", np.full((1, 1), value, np.float32))
            answer = pb_utils.InferenceRequest(
                model_name="together", inputs=[tensor], requested_output_names=["OUTPUT0"]
            ).exec()
            found[value] = answer.error().message() if answer.has_error() else float(answer.output_tensors()[0].as_numpy()[0, 0])

        threads = [threading.Thread(target=one, args=(value,)) for value in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return told([found[value] for value in range(8)])
    """
    assert tell(tmp_path, body) == list(range(8))
