"""TLS of HTTP, and what is true of it and of gRPC alike: who is let in, handshakes that do not end, files that change."""

import contextlib
import dataclasses
import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from tcli_server import Engine
from tcli_server.protocols import following, tls_server
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.protocols.http import HttpLimits
from tcli_server.protocols.http import server as http_server
from tcli_server.protocols.security import SecurityOptions
from tcli_server.serving import ServeOptions, Server
from tls_files import TlsFiles
from waiting import PATIENCE, until

LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
TOKEN = "t" * 20
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@contextlib.contextmanager
def started(files: TlsFiles, repository: Path, mutual: bool, engine: str) -> Iterator[Server]:
    (files.folder / "tokens").write_text(f"all all {TOKEN}\n")
    security = SecurityOptions(files.options(mutual, "http"), files.path("tokens"))
    options = dataclasses.replace(
        LOOPBACK,
        security=security,
        http=HttpLimits(head_timeout_secs=3600),
        grpc=GrpcOptions(engine=engine, tls=files.options(mutual)),  # type: ignore[arg-type]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "INTERVAL_SECS", 0.02)
        patch.setattr(tls_server, "_MOST", 4)
        patch.setattr(http_server, "_HANDSHAKE_SECS", 3600)
        with Server(Engine(repository), options) as running:
            yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(files: TlsFiles, standard_repository: Path) -> Iterator[Server]:
    """One that anybody may come to."""
    with started(files, standard_repository, False, "nghttp2") as running:
        yield running


def connection(port: int, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=PATIENCE)


def asked(port: int, context: ssl.SSLContext, path: str = "/v2/health/live") -> int:
    client = connection(port, context)
    client.request("GET", path, headers=AUTHORIZED)
    return client.getresponse().status


def test_http_and_metrics_are_served_over_tls(server: Server, files: TlsFiles):
    context = files.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = connection(server.http_port, context)
    body = bytes(range(256)) * (1 << 14)
    head = b'{"inputs":[{"name":"INPUT0","shape":[1,1048576],"datatype":"FP32","parameters":{"binary_data_size":4194304}}],' \
        b'"parameters":{"binary_data_output":true}}'  # fmt: skip
    for _ in range(3):
        headers = {**AUTHORIZED, "Inference-Header-Content-Length": str(len(head))}
        client.request("POST", "/v2/models/identity_fp32/infer", head + body, headers)
        answer = client.getresponse()
        assert answer.status == 200
        assert answer.read().endswith(body)
    assert isinstance(client.sock, ssl.SSLSocket)
    assert client.sock.selected_alpn_protocol() == "http/1.1"
    assert asked(server.metrics_port, context, "/metrics") == 200


def test_who_is_refused_reads_why_while_it_still_sends(server: Server, files: TlsFiles):
    with files.client_context().wrap_socket(
        socket.create_connection(("127.0.0.1", server.http_port), PATIENCE), server_hostname="127.0.0.1"
    ) as client:
        client.sendall(b"POST /v2/models/identity_fp32/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        client.sendall(b"x" * 100_000)
        assert client.recv(1000).startswith(b"HTTP/1.1 401 Unauthorized\r\n")


@pytest.mark.parametrize(
    "sent", [b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 99999]
)
def test_what_is_not_tls_is_closed_without_an_answer(server: Server, files: TlsFiles, sent: bytes):
    for port in (server.http_port, server.metrics_port, server.grpc_port):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            received = b""
            with contextlib.suppress(ConnectionError):
                client.sendall(sent)
                while data := client.recv(1000):
                    received += data
            assert b"HTTP" not in received
    assert asked(server.http_port, files.client_context()) == 200


def test_who_never_ends_a_handshake_makes_room_for_who_does(server: Server, files: TlsFiles):
    with contextlib.ExitStack() as held:
        slow = [
            held.enter_context(socket.create_connection(("127.0.0.1", server.http_port), PATIENCE)) for _ in range(20)
        ]
        for one in slow:
            with contextlib.suppress(ConnectionError):
                one.sendall(b"\x16\x03\x01")  # the beginning of a greeting
        assert asked(server.http_port, files.client_context()) == 200
        for one in slow[:15]:
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b""


def is_live(port: int, credentials: grpc.ChannelCredentials) -> bool:
    own = [("grpc.use_local_subchannel_pool", 1)]  # else a connection of before would do
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, own) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive.future(
            pb.ServerLiveRequest(), timeout=PATIENCE
        )
        assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
        return call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("engine", ["nghttp2", "aio"])
def test_files_that_change_count_for_who_comes_from_then_on(
    tmp_path: Path, standard_repository: Path, engine: str, caplog: pytest.LogCaptureFixture
):
    files = TlsFiles(tmp_path)
    with started(files, standard_repository, True, engine) as server:
        old, old_credentials = files.client_context(True), files.channel_credentials(True)
        session = resumable(server.http_port, old)
        assert asked(server.http_port, old) == 200
        assert is_live(server.grpc_port, old_credentials)
        assert not is_live(server.grpc_port, files.channel_credentials())

        (tmp_path / "server.pem").write_text("broken")
        until(lambda: sum("stays in force" in record.message for record in caplog.records) == 2)  # HTTP's and gRPC's
        assert asked(server.http_port, old) == 200
        assert is_live(server.grpc_port, old_credentials)

        files.renew()  # another authority: nobody of before is trusted any more
        new, new_credentials = files.client_context(True), files.channel_credentials(True)
        until(lambda: can_ask(server.http_port, new) and is_live(server.grpc_port, new_credentials))
        assert not is_live(server.grpc_port, old_credentials)
        for context in (old, files.client_context()):
            context.load_verify_locations(str(files.root))  # it trusts the server, which does not trust it
            assert not can_ask(server.http_port, context)
        assert not can_ask(server.http_port, old, session)


def can_ask(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> bool:
    try:
        with connected(port, context, session) as client:
            client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def resumable(port: int, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """What a client keeps to shake hands faster the next time."""
    with connected(port, context) as client:
        client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        return client.session


def connected(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    return context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)
