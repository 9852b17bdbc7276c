"""The access log, written by a server that is asked over HTTP and gRPC, and what happens where it cannot be written."""

import dataclasses
import json
import os
import queue
import re
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import ngh2
import numpy as np
import pytest
import tritonclient.grpc as triton

import onnx_models
from decoupled_python_models import SPEAK, SPEAK_CONFIG
from h2_wire import STREAM, Wire, head, message
from python_models import write_python_model
from repositories import write_model
from tcli_server import Engine
from tcli_server.errors import UnavailableError
from tcli_server.observability.access_log import MOST_WAITING, AccessLog, AccessLogOptions
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.request import InferenceRequest
from tcli_server.serving import ServeOptions, Server, check_services

PATIENCE = 60
GRPC = "/inference.GRPCInferenceService/"
BODY = '{"id": "%s", "inputs": [{"name": "INPUT0", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}'


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


class Logged:
    """A server and the lines of its log."""

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self.http = f"http://127.0.0.1:{server.http_port}"
        self._file = file

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()]

    def line(self, **fields: object) -> dict[str, Any]:
        """The one that has these, which it may be a moment before it is written."""
        (found,) = until(lambda: [line for line in self.lines() if fields.items() <= line.items()])
        return found

    def grpc(self) -> triton.InferenceServerClient:
        return triton.InferenceServerClient(f"127.0.0.1:{self.server.grpc_port}")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_model(root, "identity", onnx_models.identity())
    write_model(root, "slow", onnx_models.slow_identity(rounds=1000))
    write_python_model(root, "speak", SPEAK, SPEAK_CONFIG)
    return root


@pytest.fixture(scope="module", params=["nghttp2", "aio"])
def logged(
    repository: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Logged]:
    file = tmp_path_factory.mktemp("log") / "access"
    options = ServeOptions(
        *(0, "127.0.0.1"),
        grpc_port=0,
        grpc_address="127.0.0.1",
        grpc=GrpcOptions(engine=request.param, reflection=True),
        allow_metrics=False,
        access_log=AccessLogOptions(str(file), "json"),
    )
    with Server(Engine(repository), options) as server:
        yield Logged(server, file)


def numbers(count: int = 4) -> triton.InferInput:
    value = triton.InferInput("INPUT0", [1, count], "FP32")
    value.set_data_from_numpy(np.ones((1, count), np.float32))
    return value


def prompt(words: bytes) -> triton.InferInput:
    value = triton.InferInput("PROMPT", [1], "BYTES")
    value.set_data_from_numpy(np.array([words], np.object_))
    return value


def test_an_inference_over_http_says_what_was_asked_and_what_it_took(logged: Logged):
    body = BODY % "over-http"
    with httpx.Client() as client:
        plain = {"Accept-Encoding": "identity"}
        answer = client.post(f"{logged.http}/v2/models/identity/infer", content=body, headers=plain)
        port = answer.extensions["network_stream"].get_extra_info("socket").getsockname()[1]
    line = logged.line(id="over-http")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
    total, queued, computed = (line.pop(f"{name}_us") for name in ("total", "queue", "compute"))
    assert 0 <= queued + computed <= total < 1e6 * PATIENCE
    assert line == {
        "client": f"127.0.0.1:{port}",
        "protocol": "HTTP",
        "method": "POST",
        "path": "/v2/models/identity/infer",
        "status": "200",
        "bytes_in": len(body),
        "bytes_out": len(answer.content),
        "model": "identity",
        "version": "1",
        "id": "over-http",
    }


def test_an_inference_over_grpc_likewise(logged: Logged):
    with logged.grpc() as client:
        client.infer("identity", [numbers()], request_id="over-grpc")
    line = logged.line(id="over-grpc")
    assert (line["protocol"], line["path"], line["status"]) == ("gRPC", f"{GRPC}ModelInfer", "OK")
    assert (line["model"], line["version"]) == ("identity", "1")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line["client"])
    assert line["bytes_in"] > 16 < line["bytes_out"]
    assert 0 <= line["queue_us"] + line["compute_us"] <= line["total_us"]


def test_what_is_no_inference_or_fails_is_a_line_too(logged: Logged):
    httpx.get(f"{logged.http}/nowhere?a=1")
    httpx.head(f"{logged.http}/v2/health/live")
    httpx.post(f"{logged.http}/v2/models/identity/infer", content=BODY.replace("INPUT0", "INPUT9") % "misfit")
    with socket.create_connection(("127.0.0.1", logged.server.http_port)) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        until(lambda: connection.recv(1 << 16))
    with logged.grpc() as client:
        client.is_server_live()
        with pytest.raises(triton.InferenceServerException):
            client.infer("nobody", [numbers()])
    assert logged.line(path="/nowhere?a=1")["status"] == "404"
    assert logged.line(method="HEAD")["bytes_out"] == 0
    refused = logged.line(id="misfit")
    assert (refused["status"], refused["model"], "compute_us" in refused) == ("400", "identity", False)
    assert logged.line(path="-")["status"] == "400"
    assert logged.line(path=f"{GRPC}ServerLive")["status"] == "OK"
    assert logged.line(path=f"{GRPC}ModelInfer", status="NOT_FOUND")["bytes_out"] == 0


def test_each_request_of_a_stream_is_one_line_however_many_its_responses(logged: Logged):
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    with logged.grpc() as client:
        client.start_stream(lambda result, error: answers.put(result or error))
        client.async_stream_infer("speak", [prompt(b"three more words")], request_id="spoken")
        client.async_stream_infer("identity", [numbers()], request_id="plain")
        client.async_stream_infer("identity", [numbers(5)], request_id="wrong")
        sizes = [answers.get(timeout=PATIENCE) for _ in range(5)]
        client.stop_stream()
    assert len(sizes) == 5
    path = f"{GRPC}ModelStreamInfer"
    spoken, plain, wrong = (logged.line(path=path, id=name) for name in ("spoken", "plain", "wrong"))
    assert [line["status"] for line in (spoken, plain, wrong)] == ["OK", "OK", "INVALID_ARGUMENT"]
    assert spoken["bytes_out"] > 2 * plain["bytes_out"] > 0
    assert spoken["compute_us"] <= spoken["total_us"]


def test_calls_that_are_no_inferences_or_refused_are_lines_too(logged: Logged):
    watch, reflection = "/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    with grpc.insecure_channel(f"127.0.0.1:{logged.server.grpc_port}") as channel:
        watched = channel.unary_stream(watch)(b"", timeout=PATIENCE)
        assert next(watched) == b"\x08\x01"
        watched.cancel()
        (services,) = channel.stream_stream(reflection)(iter([b"\x3a\x00"]), timeout=PATIENCE)
        assert list(channel.stream_stream(f"{GRPC}ModelStreamInfer")(iter([]), timeout=PATIENCE)) == []
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/nobody/Nothing")(b"", timeout=PATIENCE)
        if logged.server.options.grpc.engine == "nghttp2":  # grpc.aio answers the first message
            with pytest.raises(grpc.RpcError):
                channel.stream_unary(f"{GRPC}ServerReady")(iter([b"", b""]), timeout=PATIENCE)
            assert logged.line(path=f"{GRPC}ServerReady")["status"] == "INTERNAL"
            with Wire(logged.server.grpc_port) as wire:  # refused before the stream is served
                wire.call_later(head(STREAM), message(b"", compressed=True)[:3])
                wire.call_later(head(STREAM), b"\0\xff\xff\xff\xff")
                wire.flush()
                assert [wire.answer(number).status for number in wire.answers] == [13, 8]
                number = wire.h2.send_request(head(STREAM))
                begun = wire.h2.data_to_send()
                wire.h2.reset_stream(number, ngh2.ErrorCode.CANCEL)
                wire.socket.sendall(begun + wire.h2.data_to_send())
                for status in ("INTERNAL", "RESOURCE_EXHAUSTED", "CANCELLED"):
                    assert logged.line(path=STREAM.decode(), status=status)["client"]
    left = logged.line(path=watch)
    assert (left["status"], left["bytes_in"], left["bytes_out"]) == ("CANCELLED", 0, 2)
    told = logged.line(path=reflection)
    assert (told["status"], told["bytes_in"], told["bytes_out"]) == ("OK", 2, len(services))
    assert logged.line(path=f"{GRPC}ModelStreamInfer", bytes_in=0, status="OK")["bytes_out"] == 0
    refused = logged.line(path="/nobody/Nothing")
    assert (refused["status"], refused["client"].partition(":")[0]) == ("UNIMPLEMENTED", "127.0.0.1")


def test_a_stream_of_events_is_one_line(logged: Logged):
    body = json.dumps({"PROMPT": "so many words", "id": "events"})
    answer = httpx.post(f"{logged.http}/v2/models/speak/generate_stream", content=body)
    line = logged.line(id="events")
    assert (line["status"], line["bytes_out"]) == ("200", len(answer.content))


def test_a_client_that_does_not_wait_is_told_apart(logged: Logged):
    body = (BODY % "gone-http").encode()
    head = b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    model = logged.server.engine.model("slow")
    with socket.create_connection(("127.0.0.1", logged.server.http_port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        connection.sendall(head + body)
        client = f"127.0.0.1:{connection.getsockname()[1]}"
        until(lambda: not model.idle)
    assert logged.line(client=client)["status"] == "499"
    with logged.grpc() as client:
        done = threading.Event()
        until(lambda: model.idle)
        call = client.async_infer("slow", [numbers()], lambda **_: done.set(), request_id="gone-grpc")
        until(lambda: not model.idle)
        call.cancel()
        assert done.wait(PATIENCE)
    assert logged.line(id="gone-grpc")["status"] == "CANCELLED"


def test_a_client_that_ends_its_side_while_its_request_waits_did_not_wait_either(logged: Logged):
    body = (BODY % "left").encode()
    model = logged.server.engine.model("slow")
    until(lambda: model.idle)  # what was cancelled before may still run
    instance, leave = model.instances[0].instance, threading.Event()
    run, instance.run = instance.run, lambda *given: leave.wait(PATIENCE) and run(*given)
    with logged.grpc() as first, socket.create_connection(("127.0.0.1", logged.server.http_port)) as connection:
        done = threading.Event()
        first.async_infer("slow", [numbers()], lambda **_: done.set())
        until(lambda: not model.idle and not model.pending)
        connection.sendall(
            b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        until(lambda: model.pending)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")  # some read on
        leave.set()
        assert done.wait(PATIENCE)
    instance.run = run
    assert logged.line(id="left")["status"] == "499"


class Lost:
    """Counts lost lines."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, count: int) -> None:
        self.count += count


def note(log: AccessLog, path: bytes = b"/", status: str = "200", failed: bool = False) -> None:
    log.begin("HTTP", "127.0.0.1:1", b"GET", path, 0).end(status, failed)


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_a_client_sends_makes_a_second_line(tmp_path: Path, form: str):
    file = tmp_path / "log"
    log = AccessLog(AccessLogOptions(str(file), form), Lost())  # type: ignore[arg-type]
    note(log, b'/a\n2026" 200 \x1b[31m\r\x85\x7f\xe2\x80\xa8\\' + b"x" * 5000)
    note(log, b"/\x7f")  # no other character that has to be escaped
    log.close()
    data = file.read_bytes()
    assert data.count(b"\n") == len(data.splitlines()) == len(data.decode().splitlines()) == 2
    assert data.replace(b"\n", b"").decode().isprintable()
    assert len(data) < 1500
    if form == "json":
        assert json.loads(data.splitlines()[0])["path"].startswith('/a\n2026" 200 \x1b[31m\r\x85\x7f')
    else:
        assert rb'"GET /a\n2026\" 200 \x1b[31m\r' in data


def test_a_file_that_cannot_be_is_found_before_anything_starts(tmp_path: Path):
    for file, why in ((tmp_path, "it is a folder"), (tmp_path / "no" / "log", "there is no folder .*no")):
        with pytest.raises(UnavailableError, match=f"access_log: cannot write '{file}': {why}; fix: "):
            check_services(ServeOptions(access_log=AccessLogOptions(str(file))))
    check_services(ServeOptions(access_log=AccessLogOptions(str(tmp_path / "log"))))
    assert not any(tmp_path.iterdir())


def test_some_are_logged_and_all_that_fail(tmp_path: Path):
    file = tmp_path / "log"
    log = AccessLog(AccessLogOptions(str(file), sample=3), Lost())
    for number in range(10):
        note(log, b"/%d" % number)
        note(log, b"/failed", "500", failed=True)
    log.close()
    assert re.findall(r"GET /(\d)", file.read_text()) == ["2", "5", "8"]
    assert file.read_text().count("/failed") == 10


def test_a_renamed_file_is_left_to_whoever_renamed_it(tmp_path: Path):
    file, rotated = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(AccessLogOptions(str(file)), Lost())
    note(log)
    until(lambda: file.read_text())
    file.rename(rotated)
    noted = 1

    def reopened() -> bool:
        nonlocal noted
        noted += 1
        note(log)
        return file.exists()

    until(reopened)
    log.close()
    assert rotated.read_text().count("\n") + file.read_text().count("\n") == noted
    assert file.read_text()


def test_a_reader_that_does_not_keep_up_costs_lines_and_no_time_or_memory(caplog: pytest.LogCaptureFixture):
    reader, writer = os.pipe()
    lost = Lost()
    log = AccessLog(AccessLogOptions(f"/dev/fd/{writer}"), lost)
    total = MOST_WAITING + 5000
    for _ in range(total):
        note(log)
    assert total - MOST_WAITING >= lost.count > 0, "the pipe takes some, and the thread holds some"
    os.close(writer)
    closing = threading.Thread(target=log.close)
    closing.start()
    with os.fdopen(reader, "rb") as pipe:
        written = 0
        while written + lost.count < total:
            line = pipe.readline()
            assert line.endswith(b" total_us=0\n") or b" total_us=" in line
            written += 1
    closing.join(PATIENCE)
    assert f"the access log has lost {lost.count} lines: more requests than could be written" in caplog.text


def test_lines_that_wait_hold_nothing_long_that_clients_sent():
    reader, writer = os.pipe()
    log = AccessLog(AccessLogOptions(f"/dev/fd/{writer}"), Lost())
    tracemalloc.start()
    for number in range(500):
        entry = log.begin("HTTP", "127.0.0.1:1", b"POST", b"/%d/" % number + bytes(100_000), 0)
        entry.follow(InferenceRequest(f"{number}" + "m" * 100_000, {}, id=f"{number}" + "i" * 100_000))
        entry.end("404")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for end in (reader, writer):
        os.close(end)
    log.close()
    assert held < 10e6


def test_a_full_disk_fails_no_request_and_is_counted_and_told(
    tmp_path: Path, loopback: ServeOptions, caplog: pytest.LogCaptureFixture
):
    options = dataclasses.replace(loopback, access_log=AccessLogOptions("/dev/full"))
    with Server(Engine(tmp_path), options) as server:
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{server.http_port}/v2/health/live").status_code == 200

        def lost() -> bool:
            page = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
            return "\ntcli_access_log_lost_lines 3\n" in page

        until(lost)
    assert re.search(r"the access log has lost \d lines?: No space left on device", caplog.text)
