"""gRPC over TLS: who is let in, what is said of wrong files."""

import asyncio
import dataclasses
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives import serialization
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from held_models import identity, number_of
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.serving import ServeOptions, Server, check_endpoints
from tls_files import TlsFiles


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=[False, True], ids=["one-way", "mutual"])
def mutual(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def address(files: TlsFiles, mutual: bool, standard_repository: Path, grpc_engine: str) -> Iterator[str]:
    """Of a server that speaks TLS only."""
    del grpc_engine  # it is in force
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0,
        grpc=GrpcOptions(tls=files.options(mutual)),
    )  # fmt: skip
    with Server(Engine(standard_repository), options) as running:
        yield f"127.0.0.1:{running.grpc_port}"


def test_a_client_that_is_to_be_let_in_is_served(address: str, files: TlsFiles, mutual: bool):
    large = identity(model_name="identity_fp32")
    large.inputs[0].shape[:] = [1, 1 << 21]
    large.raw_input_contents[0] = bytes(range(256)) * (1 << 15)
    no_limit = [("grpc.max_receive_message_length", -1)]
    with grpc.secure_channel(address, files.channel_credentials(mutual), no_limit) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
        assert stub.ModelInfer(large, timeout=60).raw_output_contents[0] == large.raw_input_contents[0]
        numbers = map(float, range(100))
        requests = (identity(number, model_name="identity_fp32") for number in numbers)
        answers = list(stub.ModelStreamInfer(requests, timeout=60))
    assert [number_of(answer.infer_response) for answer in answers] == list(map(float, range(100)))


def test_the_asynchronous_client_is_served(address: str, files: TlsFiles, mutual: bool):
    async def ask() -> bool:
        async with grpc.aio.secure_channel(address, files.channel_credentials(mutual)) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            return bool((await stub.ServerReady(pb.ServerReadyRequest(), timeout=60)).ready)

    assert asyncio.run(ask())


def is_live(channel: grpc.Channel) -> bool:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    return bool(stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live)


def test_a_client_without_tls_is_not_served(address: str):
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as raised:
        is_live(channel)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_client_without_a_certificate_is_served_unless_it_needs_one(address: str, files: TlsFiles, mutual: bool):
    with grpc.secure_channel(address, files.channel_credentials()) as channel:
        if not mutual:
            assert is_live(channel)
            return
        with pytest.raises(grpc.RpcError) as raised:
            is_live(channel)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_somebody_else_lets_nobody_in(address: str, files: TlsFiles, mutual: bool, tmp_path: Path):
    other = TlsFiles(tmp_path)
    key, certificate = ((tmp_path / name).read_bytes() for name in ("client.key", "client.pem"))
    credentials = grpc.ssl_channel_credentials(files.root.read_bytes(), key, certificate)
    with grpc.secure_channel(address, credentials) as channel:
        if not mutual:  # nobody asks for it
            assert is_live(channel)
        else:
            with pytest.raises(grpc.RpcError):
                is_live(channel)
    with grpc.secure_channel(address, other.channel_credentials(True)) as channel, pytest.raises(grpc.RpcError):
        is_live(channel)  # it does not trust the server


@pytest.mark.parametrize("offered", [[], ["http/1.1"]], ids=["none", "http/1.1"])
def test_a_client_that_does_not_speak_of_http_2_is_closed(
    address: str, files: TlsFiles, mutual: bool, offered: list[str]
):
    async def come_and_go() -> bytes:
        context = ssl.create_default_context(cafile=str(files.root))
        context.set_alpn_protocols(offered)
        if mutual:
            context.load_cert_chain(files.path("client.pem"), files.path("client.key"))
        host, port = address.split(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            return await asyncio.wait_for(reader.read(), 60)
        except (ssl.SSLError, ConnectionError):
            return b""

    assert asyncio.run(come_and_go()) == b""


def encrypted_key(files: TlsFiles) -> str:
    path = files.path("encrypted.key")
    key = serialization.load_pem_private_key(Path(files.path("server.key")).read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    Path(path).write_bytes(key.private_bytes(kind, form, locked))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"server_cert": ""}, "grpc_server_cert is missing, which gRPC with TLS needs; fix:"),
        ({"server_key": ""}, "grpc_server_key is missing"),
        ({"root_cert": ""}, "grpc_root_cert is missing"),
        ({"server_cert": "nowhere"}, "grpc_server_cert: cannot read 'nowhere': No such file or directory; fix:"),
        ({"server_key": "\0"}, "grpc_server_key: cannot read"),
        ({"root_cert": "/"}, "grpc_root_cert: cannot read '/': Is a directory"),
        ({"server_cert": "server.key"}, "server.key' is not a certificate in PEM format"),
        ({"server_key": "server.pem"}, "server.pem' is not a private key in PEM format"),
        ({"server_key": "client.key"}, "client.key' is not the key of the certificate"),
        ({"server_key": "encrypted.key"}, "encrypted.key' is encrypted, expected a private key that needs no password"),
        ({"root_cert": "server.key"}, "server.key' is not certificates in PEM format"),
        ({"root_cert": "binary"}, "binary' is not certificates in PEM format"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_before_anything_is_served(
    files: TlsFiles, loopback: ServeOptions, change: dict[str, str], said: str
):
    encrypted_key(files)
    Path(files.path("binary")).write_bytes(b"\xff\x00" * 100)
    names = {"server.key", "server.pem", "client.key", "encrypted.key", "binary"}
    changed = {field: files.path(name) if name in names else name for field, name in change.items()}
    tls = dataclasses.replace(files.options(mutual=True), **changed)
    with pytest.raises(InvalidArgumentError) as raised:
        check_endpoints(dataclasses.replace(loopback, grpc=GrpcOptions(tls=tls)))
    assert said in str(raised.value)
