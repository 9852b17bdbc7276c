"""Models whose `execute` is a coroutine."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_models import IDENTITY, IDENTITY_CONFIG, write_python_model
from tcli_server.engine import Engine
from tcli_server.errors import InternalError
from tcli_server.request import InferenceRequest, InferenceResponse
from waiting import until

ONE = np.ones(1, np.float32)
DECOUPLED = IDENTITY_CONFIG + "model_transaction_policy { decoupled: true }\n"

COMMON = """
import asyncio

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def response(value=1):
    return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.full(1, value, np.float32))])


def ask(value, model="identity"):
    inputs = [pb_utils.Tensor("INPUT0", np.full(1, value, np.float32))]
    return pb_utils.InferenceRequest(model_name=model, inputs=inputs, requested_output_names=["OUTPUT0"])


def value_of(answer):
    return float(pb_utils.get_output_tensor_by_name(answer, "OUTPUT0").as_numpy()[0])


class TritonPythonModel:
"""

FORMS = {
    "a coroutine": """
    async def execute(self, requests):
        await asyncio.sleep(0)
        return [response(7) for _ in requests]
    """,
    "a function that gives a coroutine": """
    def execute(self, requests):
        return self.answer(requests)

    async def answer(self, requests):
        return [response(7) for _ in requests]
    """,
    "a task that goes on when execute has returned": """
    async def execute(self, requests):
        self.tasks = [asyncio.create_task(self.answer(r.get_response_sender())) for r in requests]

    async def answer(self, sender):
        await asyncio.sleep(0.01)
        sender.send(response(7), flags=FINAL)
    """,
    "inferences that are awaited together": """
    async def execute(self, requests):
        futures = [ask(value).async_exec() for value in range(8)]
        answers = await asyncio.gather(*futures)
        assert [value_of(answer) for answer in answers] == list(range(8))
        done, _ = await asyncio.wait([ask(7).async_exec()])
        return [response(value_of(done.pop().result())) for _ in requests]
    """,
    "a lock of the loop that execute shares with is_ready": """
    def __init__(self):
        self.lock = asyncio.Lock()

    async def is_ready(self):
        async with self.lock:
            return asyncio.get_running_loop() is self.loop

    async def execute(self, requests):
        self.loop = asyncio.get_running_loop()
        async with self.lock:
            return [response(7) for _ in requests]
    """,
}


def write(repository: Path, body: str, config: str = IDENTITY_CONFIG) -> None:
    write_python_model(repository, "m", COMMON + body, config)
    write_python_model(repository, "identity", IDENTITY)


@pytest.mark.parametrize("form", FORMS)
def test_execute_may_be(tmp_path: Path, form: str):
    write(tmp_path, FORMS[form])
    with Engine(tmp_path) as engine:
        for _ in range(2):
            assert engine.infer("m", {"INPUT0": ONE}).outputs["OUTPUT0"].tolist() == [7]
        assert engine.model_ready("m")


def test_an_exception_in_it_is_the_client_s(tmp_path: Path):
    body = """
    async def execute(self, requests):
        await asyncio.sleep(0)
        raise ValueError("no such thing")
    """
    write(tmp_path, body)
    with Engine(tmp_path) as engine, pytest.raises(InternalError, match="message: ValueError: no such thing"):
        engine.infer("m", {"INPUT0": ONE})


def test_one_that_wants_the_process_to_end_is_heard(tmp_path: Path):
    body = """
    async def execute(self, requests):
        await asyncio.sleep(0)
        raise SystemExit(3)
    """
    write(tmp_path, body)
    with Engine(tmp_path) as engine, pytest.raises(InternalError, match="ended with status 3"):
        engine.infer("m", {"INPUT0": ONE})


class Stream:
    """The responses of a request to the decoupled model `m`."""

    def __init__(self, engine: Engine, value: float = 1) -> None:
        self.responses: list[InferenceResponse] = []
        self.over = threading.Event()
        inputs: dict[str, Any] = {"INPUT0": np.full(1, value, np.float32)}
        engine.submit(InferenceRequest("m", inputs, takes_many=True, reply=self._reply))

    def _reply(self, response: InferenceResponse) -> None:
        self.responses.append(response)
        if response.final:
            self.over.set()

    def values(self) -> list[float]:
        """All of them, in their order."""
        assert self.over.wait(60)
        return [float(each.outputs["OUTPUT0"][0]) for each in self.responses if each.outputs]


def test_calls_of_a_decoupled_model_overlap(tmp_path: Path):
    """The first call waits for the second one, which only begins because the first one waits."""
    body = """
    def __init__(self):
        self.second = asyncio.Event()

    async def execute(self, requests):
        for request in requests:
            value = float(request.inputs()[0].as_numpy()[0])
            sender = request.get_response_sender()
            if value == 1:
                await self.second.wait()
            else:
                self.second.set()
            answers = await ask(value).async_exec(decoupled=True)
            for answer in answers:
                if answer.output_tensors():
                    sender.send(response(value_of(answer)))
            sender.send(flags=FINAL)
    """
    write(tmp_path, body, DECOUPLED)
    with Engine(tmp_path) as engine:
        streams = [Stream(engine, 1), Stream(engine, 2)]
        assert [stream.values() for stream in streams] == [[1], [2]]


def test_an_exception_in_a_decoupled_one_ends_what_it_has_not_ended(tmp_path: Path):
    body = """
    async def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            sender.send(response(5))
            await asyncio.sleep(0)
            raise ValueError("no such thing")
    """
    write(tmp_path, body, DECOUPLED)
    with Engine(tmp_path) as engine:
        stream = Stream(engine)
        assert stream.values() == [5]
        assert "ValueError: no such thing" in str(stream.responses[-1].error)


def test_one_after_the_last_response_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    body = """
    async def execute(self, requests):
        for request in requests:
            request.get_response_sender().send(response(5), flags=FINAL)
        raise ValueError("too late to tell")
    """
    write(tmp_path, body, DECOUPLED)
    with Engine(tmp_path) as engine:
        assert Stream(engine).values() == [5]
        until(lambda: "ValueError: too late to tell" in caplog.text)
