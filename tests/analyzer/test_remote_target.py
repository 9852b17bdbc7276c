"""A model of a server under load, over HTTP and gRPC: answers, errors, counters; and servers that go wrong."""

import socket
import threading
import time

import numpy as np
import pytest

import onnx_models
from repositories import add_sub_config, write_model
from serve_command import serving
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.measuring.visit import LoadFailedError, VisitOptions, visit
from tcli_analyzer.remote import RemoteTarget, Wire
from tcli_analyzer.target import Counters
from tcli_server.errors import InvalidArgumentError, ServerError, UnavailableError
from waiting import until
from wild_server import V2, WildServer, answer, reset

ONES = {"INPUT0": np.ones((1, 16), np.float32), "INPUT1": np.ones((1, 16), np.float32)}
QUICK = VisitOptions(windows=2, seconds=0.05, requests=5, warm_up_seconds=0.02, longest=1000)
PROTOCOLS = ["http", "grpc"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("remote")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    with serving("--model-repository", repository, "--model-control-mode=explicit", "--load-model=add_sub") as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def target(server, request):
    url = server.url({"http": "HTTP", "grpc": "gRPC"}[request.param])
    with RemoteTarget(url, "add_sub", protocol=request.param) as remote:
        yield remote


def ask(target, inputs=ONES, patience=30):
    """The error of one request, or None."""
    answered = threading.Event()
    errors = []

    def reply(error):
        errors.append(error)
        answered.set()

    target.submit(inputs, reply)
    assert answered.wait(patience)
    assert len(errors) == 1
    return errors[0]


def test_windows_of_a_closed_loop(target):
    found = visit(target, [ONES], ClosedLoad(4), QUICK, threading.Event())
    for window in found:
        assert len(window.latencies_ms) >= 5
    counted = target.counters()
    assert counted.requests >= sum(len(window.latencies_ms) for window in found)
    assert counted.compute_infer_ns > 0
    assert target.has_statistics


def test_a_thread_that_only_sends_and_receives_is_watched(target):
    """A model that does nothing, asked by many: what the window shows of it is the generator as well."""
    options = VisitOptions(seconds=0.3, requests=600, longest=1000)
    began = time.perf_counter()
    (found,) = visit(target, [ONES], ClosedLoad(16), options, threading.Event())
    elapsed = time.perf_counter() - began
    (idle,) = visit(target, [ONES], OpenLoad(10), VisitOptions(seconds=0.3, requests=1), threading.Event())
    if hasattr(time, "pthread_getcpuclockid"):
        # As processor time, which does not depend on who else is busy.
        assert 5e-6 * len(found.latencies_ms) < found.sender_cores * found.seconds <= elapsed
        assert idle.sender_cores * idle.seconds < found.sender_cores * found.seconds
    else:
        assert found.sender_cores == 0


def test_windows_of_an_open_loop(target):
    found = visit(target, [ONES], OpenLoad(40), QUICK, threading.Event())
    assert not any(window.overloaded for window in found)
    assert all(len(window.latencies_ms) >= 5 for window in found)


def test_many_at_once(target):
    with ClosedLoop(target, [ONES], 100) as load:
        until(lambda: len(load.replies) >= 1000 or load.error is not None)
    assert load.error is None
    assert target.counters().requests >= 1000


def test_a_request_that_the_server_refuses(target):
    wrong = {"INPUT0": np.ones((1, 15), np.float32), "INPUT1": np.ones((1, 16), np.float32)}
    error = ask(target, wrong)
    assert isinstance(error, InvalidArgumentError)
    assert "INPUT0" in str(error)
    assert ask(target) is None


def test_an_unknown_model(server):
    with RemoteTarget(server.url("HTTP"), "nothing") as target:
        with pytest.raises(ServerError, match="nothing"):
            target.configuration()
        assert "nothing" in str(ask(target))


def test_nobody_there():
    with WildServer(lambda *_: True) as gone:
        port = gone.port
    for protocol in PROTOCOLS:
        with (
            pytest.raises(UnavailableError, match=f"127.0.0.1:{port}"),
            RemoteTarget(f"127.0.0.1:{port}", "m", protocol=protocol) as target,
        ):
            target.configuration()


def wild(infer, **options):
    """A target at a server that does this with inference requests, and the server."""
    server = WildServer(infer, **options)
    return server, lambda timeout=10: RemoteTarget(f"127.0.0.1:{server.port}", "m", timeout=timeout)


def says(data, stays=True):
    def infer(connection, _):
        connection.sendall(data)
        if not stays:
            connection.close()
        return stays

    return infer


@pytest.mark.parametrize(
    ("infer", "words"),
    [
        (says(answer(b'{"error": "queue full"}', "503 Service Unavailable")), "queue full"),
        (says(answer(b"<html>busy</html>", "503 Service Unavailable")), "status 503: <html>busy"),
        (says(answer(b"", "500 Internal Server Error")), "status 500"),
        (says(b"garbage\r\n\r\n"), "not in HTTP"),
        (says(answer(b"ok") + answer(b"ok")), "not in HTTP"),
        (says(answer(b"x" * 100)[:-50], stays=False), "closed the connection in the middle of an answer"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", stays=False), "middle of an answer"),
        (says(b"", stays=False), "closed the connection without an answer"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "not in HTTP"),
        (lambda connection, _: reset(connection), "was lost"),
    ],
)
def test_a_wrong_answer_ends_the_load(infer, words):
    server, target = wild(infer)
    with server, target() as remote:
        assert words in str(ask(remote))
        with pytest.raises(LoadFailedError, match=words):
            visit(remote, [ONES], ClosedLoad(3), QUICK, threading.Event())
        with pytest.raises(LoadFailedError, match=words):
            visit(remote, [ONES], OpenLoad(100), QUICK, threading.Event())


@pytest.mark.parametrize(
    "data",
    [
        answer(b"x" * 300_000),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"ok"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ],
)
def test_right_answers_of_other_kinds(data):
    server, target = wild(says(data))
    with server, target() as remote:
        assert [ask(remote) for _ in range(3)] == [None] * 3
        assert server.connections == 2  # one asks about the server, one infers


@pytest.mark.parametrize("data", [answer(b"ok", "200 OK", "Connection: close"), b"HTTP/1.0 200 OK\r\n\r\nok"])
def test_a_server_that_closes_after_each_answer(data):
    server, target = wild(says(data, stays=False))
    with server, target() as remote:
        assert [ask(remote) for _ in range(3)] == [None] * 3


def test_a_connection_closed_between_two_answers_is_replaced():
    """Sent into a connection that ends just then: once more on a new one, and no error."""

    def infer(connection, number):
        if number % 2:
            connection.close()
            return False
        connection.sendall(answer(b"ok"))
        return True

    server, target = wild(infer)
    with server, target() as remote:
        assert [ask(remote) for _ in range(3)] == [None] * 3
        assert len(server.requests) == 5


def test_a_server_that_dies_under_load():
    def infer(connection, number):
        if number < 50:
            connection.sendall(answer(b"ok"))
            return True
        server.refuse()
        reset(connection)
        return False

    server, target = wild(infer)
    with server, target() as remote, pytest.raises(LoadFailedError, match="http://"):
        visit(remote, [ONES], ClosedLoad(4), VisitOptions(seconds=20), threading.Event())


def test_a_server_that_never_answers():
    server, target = wild(lambda *_: True)
    with server, target(timeout=1.5) as remote:
        assert "did not answer within 1.5 s" in str(ask(remote))


def test_what_is_still_under_way_at_the_end_gets_an_error():
    server, target = wild(lambda *_: True)
    errors = []
    with server:
        with target() as remote:
            for _ in range(3):
                remote.submit(ONES, errors.append)
            remote.counters()
        assert len(errors) == 3
        assert all("ended before" in str(error) for error in errors)


def test_json_where_the_server_has_no_binary_tensors():
    server, target = wild(says(answer(b"ok")), extensions=V2.replace(b"binary_tensor_data", b""))
    with server, target() as remote:
        assert ask(remote, {"INPUT0": np.array([[1, 2]], np.int32)}) is None
        assert b'"data": [1, 2]' in server.requests[0]
        with pytest.raises(InvalidArgumentError, match="INPUT0"):
            remote.submit({"INPUT0": np.array([b"\xff"], object)}, lambda _: None)


GRPC_WIRES = [Wire(), Wire(streaming=True)]


@pytest.mark.parametrize("wire", GRPC_WIRES, ids=["calls", "streams"])
def test_refused_over_grpc(server, wire):
    wrong = {"INPUT0": np.ones((1, 15), np.float32), "INPUT1": np.ones((1, 16), np.float32)}
    with RemoteTarget(server.url("gRPC"), "add_sub", protocol="grpc", wire=wire) as target:
        assert "INPUT0" in str(ask(target, wrong))
        assert ask(target) is None
        assert [ask(target) for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("streaming", [False, True], ids=["calls", "streams"])
def test_what_grpc_cannot_send_gets_an_error(server, streaming):
    wire = Wire(headers={"x-bin": "text"}, streaming=streaming)
    with RemoteTarget(server.url("gRPC"), "add_sub", protocol="grpc", wire=wire) as target:
        assert "x-bin" in str(ask(target))


@pytest.mark.parametrize("wire", GRPC_WIRES, ids=["calls", "streams"])
def test_a_grpc_server_that_dies_under_load(tmp_path, wire):
    write_model(tmp_path, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    with serving("--model-repository", tmp_path) as running:
        url = running.url("gRPC")
        with RemoteTarget(url, "add_sub", protocol="grpc", timeout=10, wire=wire) as target:
            with ClosedLoop(target, [ONES], 4) as load:
                until(lambda: len(load.replies) > 50)
                running.process.kill()
                until(lambda: load.error is not None)
                until(lambda: not load.outstanding)
            assert url in str(load.error)
            assert url in str(ask(target))


@pytest.mark.parametrize("wire", GRPC_WIRES, ids=["calls", "streams"])
def test_what_is_under_way_over_grpc_at_the_end_gets_an_error(server, wire):
    errors = []
    with RemoteTarget(server.url("gRPC"), "add_sub", protocol="grpc", wire=wire) as target:
        for _ in range(200):
            target.submit(ONES, errors.append)
    assert len(errors) == 200
    assert {type(error) for error in errors} <= {type(None), UnavailableError}


def test_a_grpc_server_that_never_answers():
    """It takes connections, and that is all."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(ServerError, match="grpc://"),
        RemoteTarget(f"127.0.0.1:{listening.getsockname()[1]}", "m", protocol="grpc", timeout=0.5) as target,
    ):
        target.configuration()


def test_grpc_where_http_is():
    server, _ = wild(says(b"x"))
    with (
        server,
        pytest.raises(ServerError, match="grpc://"),
        RemoteTarget(f"127.0.0.1:{server.port}", "m", protocol="grpc", timeout=2) as target,
    ):
        target.configuration()


def test_statistics_that_fail_after_they_were_told_are_an_error_and_not_zeros():
    with WildServer(lambda *_: True, mute_after=1) as server, RemoteTarget(f"127.0.0.1:{server.port}", "m") as target:
        target.counters()
        with pytest.raises(ServerError, match="not now"):
            target.counters()
        assert target.has_statistics


def test_a_server_without_statistics_is_asked_once():
    with WildServer(lambda *_: True, mute_after=0) as server, RemoteTarget(f"127.0.0.1:{server.port}", "m") as target:
        assert target.counters() == Counters()
        assert not target.has_statistics
