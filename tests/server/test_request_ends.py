"""Every request ends once: by its answer, because nobody wants it any more, or because there is no room for it."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import TensorProto

import onnx_models
from held_models import HeldServer, held_server
from repositories import write_model
from tcli_server import Engine, EngineOptions, ErrorKind, InferenceRequest, InferenceResponse
from tcli_server.errors import CancelledError, InternalError, ServerError, UnavailableError
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason
from tcli_server.serving import ServeOptions
from waiting import until

SLOW = {"INPUT0": np.ones((1, 4), np.float32)}


@pytest.fixture
def held(tmp_path: Path, loopback: ServeOptions) -> Iterator[HeldServer]:
    with held_server(tmp_path, loopback) as running:
        yield running


def http_inference(held: HeldServer) -> bytes:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}
    body = json.dumps({"inputs": [tensor]}).encode()
    path = f"/v2/models/{held.model.name}/infer"
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def reset(connection: socket.socket) -> None:
    """Close so that the other side hears of it as a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["reset", "close"])
def test_sixty_abandoned_http_requests_are_not_run(held: HeldServer, leave):
    clients = [socket.create_connection(("127.0.0.1", held.server.http_port)) for _ in range(60)]
    for client in clients:
        client.sendall(http_inference(held))
    held.accepted(running=1, waiting=59)
    for client in clients:
        leave(client)
    until(lambda: held.model.pending == 0)
    held.allow(60)
    until(lambda: held.model.idle)
    statistics = held.model.statistics
    assert len(held.runs) == 1
    assert statistics.failure_count[FailureReason.CANCELED] in (59, 60)
    assert statistics.failure_count[FailureReason.CANCELED] + statistics.success_count == 60


def test_whoever_stops_waiting_in_asyncio_cancels(tmp_path: Path):
    write_model(tmp_path, "slow", onnx_models.slow_identity())
    with Engine(tmp_path) as engine:

        async def give_up() -> None:
            running = [asyncio.ensure_future(engine.infer_async("slow", SLOW)) for _ in range(5)]
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(engine.infer_async("slow", SLOW), 0.001)
            for task in running[1:]:
                task.cancel()
            await running[0]

        asyncio.run(give_up())
        assert engine.infer("slow", SLOW).outputs["OUTPUT0"].tolist() == [[1, 1, 1, 1]]
        statistics = engine.model("slow").statistics
        assert statistics.failure_count[FailureReason.CANCELED] == 5
        assert statistics.success_count == 2


def test_an_answer_for_a_loop_that_is_closed_harms_nobody(tmp_path: Path):
    write_model(tmp_path, "slow", onnx_models.slow_identity())
    with Engine(tmp_path) as engine:
        loop = asyncio.new_event_loop()
        task = loop.create_task(engine.infer_async("slow", SLOW))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        engine.infer("slow", SLOW)
        del task


def test_what_waits_is_bounded_and_given_back(tmp_path: Path):
    write_model(tmp_path, "slow", onnx_models.slow_identity())
    with Engine(tmp_path, options=EngineOptions(max_pending_bytes=64)) as engine:
        answers: list[InferenceResponse] = []
        for _ in range(6):
            engine.submit(InferenceRequest("slow", dict(SLOW), reply=answers.append))
        until(lambda: len(answers) == 6)
        refused = [answer.error for answer in answers if answer.error]
        assert len(refused) == 2  # four requests of 16 bytes have room
        assert {error.kind for error in refused} == {ErrorKind.UNAVAILABLE}
        assert "--max-pending-bytes" in str(refused[0])
        assert engine.model("slow").statistics.failure_count[FailureReason.REJECTED] == 2
        large = {"INPUT0": np.ones((9, 4), np.float32)}
        with pytest.raises(ServerError):  # the default configuration batches up to 4
            engine.infer("slow", large)
        engine.infer("slow", {"INPUT0": np.ones((4, 4), np.float32)})


def test_one_text_that_is_none_fails_alone(tmp_path: Path):
    write_model(tmp_path, "words", onnx_models.identity(TensorProto.STRING), "max_batch_size: 64 dynamic_batching { }")
    with Engine(tmp_path) as engine:
        answers: dict[str, InferenceResponse] = {}
        for number in range(141):
            text = np.array([[b"\xff" if number == 70 else b"good"] * 4], np.object_)
            request = InferenceRequest("words", {"INPUT0": text}, id=str(number))
            request.reply = lambda answer: answers.__setitem__(answer.id, answer)
            engine.submit(request)
        until(lambda: len(answers) == 141)
        failed = {name: answer.error for name, answer in answers.items() if answer.error}
        assert failed.keys() == {"70"}
        assert failed["70"].kind is ErrorKind.INVALID_ARG
        assert "no UTF-8 text" in str(failed["70"])


# --- the request itself ---


def test_only_the_first_end_counts_and_what_was_held_goes():
    answers: list[InferenceResponse] = []
    statistics = InferenceStatistics()
    request = InferenceRequest("m", {"X": np.zeros(3)}, reply=answers.append, observer=statistics)
    assert request.send(InferenceResponse("m", "1")) is True
    assert request.send(InferenceResponse("m", "1")) is False
    assert request.fail(InternalError("late")) is False
    assert request.cancel() is False
    assert request.begin() is None
    assert len(answers) == 1
    assert request.inputs == {}
    assert (statistics.success_count, statistics.fail_count) == (1, 0)


def test_several_responses_come_in_order_and_nothing_after_the_last():
    answers: list[InferenceResponse] = []
    request = InferenceRequest("m", {}, reply=answers.append)
    for number in range(3):
        assert request.send(InferenceResponse("m", str(number)), final=False)
    assert request.fail(CancelledError("enough"))
    assert not request.send(InferenceResponse("m", "4"))
    assert [(answer.model_version, answer.final) for answer in answers] == [
        ("0", False),
        ("1", False),
        ("2", False),
        ("", True),
    ]


def test_responses_from_many_threads_and_a_reply_that_answers_itself():
    answers: list[InferenceResponse] = []

    def reply(answer: InferenceResponse) -> None:
        answers.append(answer)
        if len(answers) == 5:
            request.cancel()

    request = InferenceRequest("m", {}, reply=reply)
    threads = [
        threading.Thread(target=lambda: [request.send(InferenceResponse("m", "1"), final=False) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert request.ended
    assert sum(answer.final for answer in answers) == 1
    assert answers[-1].final
    assert answers[-1].error is not None


def test_a_reply_that_raises_is_logged_and_a_second_response_still_comes(caplog: pytest.LogCaptureFixture):
    calls = []

    def reply(answer: InferenceResponse) -> None:
        calls.append(answer)
        raise SystemExit(1)

    request = InferenceRequest("m", {}, reply=reply)
    assert request.send(InferenceResponse("m", "1"), final=False)
    assert request.send(InferenceResponse("m", "1"))
    assert len(calls) == 2
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_readiness_of_what_is_not_there_over_http(http_url: str):
    for path in ("nope", "add_sub/versions/9"):
        answer = httpx.get(f"http://{http_url}/v2/models/{path}/ready")
        assert (answer.status_code, answer.json()) == (400, {"error": "Model version not ready"})


def test_an_interrupted_caller_cancels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_model(tmp_path, "slow", onnx_models.slow_identity())
    with Engine(tmp_path) as engine:
        import queue

        class Interrupted(queue.SimpleQueue):  # type: ignore[type-arg]
            def get(self, *_: object) -> object:
                raise KeyboardInterrupt

        monkeypatch.setattr(queue, "SimpleQueue", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.infer("slow", SLOW)
        monkeypatch.undo()
        assert engine.model("slow").statistics.failure_count[FailureReason.CANCELED] == 1
    with pytest.raises(UnavailableError):
        engine.infer("slow", SLOW)
