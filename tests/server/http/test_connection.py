"""HTTP itself: what any client may do to a connection."""

import contextlib
import json
import socket

import pytest

BODY = json.dumps(
    {
        "inputs": [
            {"name": name, "datatype": "FP32", "shape": [1, 16], "data": [1.0] * 16} for name in ("INPUT0", "INPUT1")
        ]
    }
).encode()
INFER = b"POST /v2/models/add_sub/infer HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def wire(http_url: str):
    host, port = http_url.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def read_response(wire: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        received = wire.recv(65536)
        assert received, data
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += wire.recv(65536)
    return int(status.split()[1]), headers, body


def test_pipelined_requests_are_answered_in_order(wire: socket.socket):
    one = INFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    wire.sendall(one + b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    data = b""
    while data.count(b"HTTP/1.1 ") < 3 or b"Not Found" not in data:
        data += wire.recv(65536)
    assert data.index(b"OUTPUT0") < data.index(b"extensions") < data.index(b"404 Not Found")


def test_thousands_of_requests_behind_one_inference_are_all_answered(wire: socket.socket):
    count = 3000
    inference = INFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    wire.sendall(inference + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n" * count)
    data = b""
    while data.count(b"HTTP/1.1 200 OK") < count + 1:
        received = wire.recv(1 << 20)
        assert received, "the server hung up"
        data += received


def test_head_is_answered_as_get_is_without_a_body(wire: socket.socket):
    wire.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
    length = read_response(wire)[1]["content-length"]
    paths = (b"/v2", b"/v2/models/add_sub/infer", b"/v2/health/live")
    wire.sendall(b"".join(b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths))
    data = b""
    while data.count(b"\r\n\r\n") < len(paths):
        data += wire.recv(65536)
    metadata, inference, live, rest = data.split(b"\r\n\r\n")
    assert metadata.startswith(b"HTTP/1.1 200 ")
    assert f"Content-Length: {length}" in metadata.decode()
    assert inference.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: POST" in inference
    assert live.startswith(b"HTTP/1.1 200 ")
    assert rest == b""


def test_chunked_requests(wire: socket.socket):
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:]))
    wire.sendall(INFER + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert read_response(wire)[0] == 200


def test_too_many_chunks_are_refused(wire: socket.socket):
    wire.sendall(INFER + b"Transfer-Encoding: chunked\r\n\r\n")
    try:
        for _ in range(70):
            wire.sendall(b"1\r\nx\r\n" * 1000)
    except OSError:
        pass  # the server may have hung up already
    assert b"chunks" in wire.recv(65536)


def test_expect_continue_is_answered_before_the_body(wire: socket.socket):
    wire.sendall(INFER + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
    assert wire.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.sendall(BODY)
    assert read_response(wire)[0] == 200


def test_the_connection_closes_when_asked(wire: socket.socket):
    wire.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert read_response(wire)[1]["connection"] == "close"
    assert wire.recv(1) == b""


def test_a_body_in_tiny_pieces(wire: socket.socket):
    message = INFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for byte in message:
        wire.sendall(bytes([byte]))
    assert read_response(wire)[0] == 200


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
def test_what_is_not_http_is_refused(wire: socket.socket, nonsense: bytes):
    wire.sendall(nonsense + b"\r\n\r\n")
    assert read_response(wire)[0] == 400
    assert wire.recv(1) == b""


def test_endless_headers_are_refused(wire: socket.socket):
    with contextlib.suppress(OSError):
        wire.sendall(b"GET /v2 HTTP/1.1\r\nx: " + b"y" * 200_000)
    assert read_response(wire)[0] == 431


def test_a_client_that_leaves_early_harms_nobody(http_url: str, wire: socket.socket):
    host, port = http_url.split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=30) as leaver:
            leaver.sendall(INFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    wire.sendall(INFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    assert read_response(wire)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/health/live", 405),
        ("GET", "/v2/models/add_sub/infer", 405),
        ("GET", "/v2/health", 404),
        ("GET", "/v2/models/add_sub/versions/x", 404),
        ("GET", "/v2/models/add_sub?x=1", 200),
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/nothing/stats", 400),
        ("GET", "/v2/models/add_sub/versions/99999999999999999999", 400),
        ("POST", "/v2/repository/models/add_sub/load", 503),
        ("POST", "/v2/repository/other/models/add_sub/load", 501),
        ("POST", "/v2/models/add_sub/generate", 500),
        ("POST", "/v2/repository/other/models/add_sub/unload", 501),
        ("POST", "/v2/repository/models/add_sub/unload", 503),
        ("POST", "/v2/repository/index", 200),
        ("POST", "/v2/repository/other/index", 200),
        ("GET", "/v2/repository/index", 405),
        ("POST", "/v2/models/add_sub/generate_stream", 500),
        ("GET", "/v2/models/add_sub/generate", 405),
        ("GET", "/v2/models/add_sub/trace/setting", 200),
        ("POST", "/v2/trace/setting", 500),
        ("GET", "/v2/systemsharedmemory/status", 200),
        ("POST", "/v2/cudasharedmemory/region/x/register", 501),
        ("GET", "/v2/models/add%5Fsub/versions/1", 200),
        ("GET", "/v2/models/add_sub/versions/1/stats", 200),
        ("GET", "/v2/models/stats", 200),
        ("GET", "/v2/models/add_sub/config#x?y", 200),
        ("GET", "/v2/models/" + "a" * 300, 404),
    ],
)
def test_routes(wire: socket.socket, method: str, path: str, status: int):
    wire.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    for _ in range(2):  # what is remembered of the first is no other answer
        assert read_response(wire)[0] == status
        wire.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
