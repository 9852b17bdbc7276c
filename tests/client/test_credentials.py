"""Certificates and tokens that the environment names."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcli_client import AnswerError, CredentialsError, ServerUnreachableError, WrongProtocolError, connect
from tcli_client.credentials import CA, CERT, KEY, TOKEN
from tcli_client.watch import Watcher
from tcli_server import Engine
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.protocols.security import SecurityOptions
from tcli_server.serving import ServeOptions, Server
from tls_files import TlsFiles

LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    files = TlsFiles(tmp_path_factory.mktemp("credentials"))
    (files.folder / "tokens").write_text("me metadata,statistics,metrics my-own-long-token\n")
    (files.folder / "token").write_text("my-own-long-token\n")
    (files.folder / "tokens").chmod(0o600)
    return files


@pytest.fixture(scope="module")
def server(files: TlsFiles, standard_repository: Path) -> Iterator[Server]:
    """Lets in who has a certificate and a token."""
    options = dataclasses.replace(
        LOOPBACK,
        security=SecurityOptions(files.options(True, "http"), files.path("tokens")),
        grpc=GrpcOptions(tls=files.options(True)),
    )
    with Server(Engine(standard_repository), options) as server:
        yield server


@pytest.fixture
def urls(server: Server) -> tuple[str, str]:
    return f"https://127.0.0.1:{server.http_port}", f"grpcs://127.0.0.1:{server.grpc_port}"


def test_who_has_a_certificate_and_a_token_is_let_in(
    files: TlsFiles, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    for url in urls:
        for variable in (CA, CERT, KEY, TOKEN):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(CA, str(files.root))
        with connect(url) as server, pytest.raises((ServerUnreachableError, WrongProtocolError)):
            server.metadata()
        monkeypatch.setenv(CERT, files.path("client.pem"))
        monkeypatch.setenv(KEY, files.path("client.key"))
        with connect(url) as server, pytest.raises(AnswerError, match="a token is needed"):
            server.metadata()
        monkeypatch.setenv(TOKEN, files.path("token"))
        with connect(url) as server:
            assert server.metadata().name == "triton"
            with pytest.raises(AnswerError, match="expecting the scope 'model-config'"):
                server.model_config("identity_fp32")


def test_who_watches_has_them_for_the_metrics_page_as_well(
    files: TlsFiles, server: Server, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    page = f"https://127.0.0.1:{server.metrics_port}"
    for variable, value in ((CA, str(files.root)), (CERT, files.path("client.pem")), (KEY, files.path("client.key"))):
        monkeypatch.setenv(variable, value)
    for url in urls:
        monkeypatch.delenv(TOKEN, raising=False)
        with Watcher(url, page) as watcher, pytest.raises(AnswerError, match="a token is needed") as refused:
            watcher.sample()
        assert TOKEN in refused.value.fix
        monkeypatch.setenv(TOKEN, files.path("token"))
        with Watcher(url, page) as watcher:
            sample = watcher.sample()
        assert sample.models["identity_fp32", "1"].pending == 0
        assert len(sample.notes) == 1
        assert "expecting the scope 'model-repository'" in sample.notes[0]


def test_a_stranger_s_certificate_is_told_from_a_server_that_is_not_there(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(CA, raising=False)
    for url in urls:
        with connect(url) as server, pytest.raises(ServerUnreachableError, match="not signed by") as untrusted:
            server.metadata()
        assert CA in untrusted.value.fix


@pytest.mark.parametrize(
    ("variable", "file", "said"),
    [
        (CA, "nowhere", "TCLI_CLIENT_CA: cannot use 'nowhere' (No such file or directory)"),
        (CA, "token", "TCLI_CLIENT_CA: cannot use"),
        (CERT, "client.pem", "TCLI_CLIENT_CERT, TCLI_CLIENT_KEY: cannot use"),
        (TOKEN, "nowhere", "TCLI_CLIENT_TOKEN_FILE: cannot use 'nowhere' (No such file or directory)"),
        (TOKEN, "tokens", "TCLI_CLIENT_TOKEN_FILE: expected a token and nothing else"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    files: TlsFiles, monkeypatch: pytest.MonkeyPatch, variable: str, file: str, said: str
):
    monkeypatch.setenv(variable, file if file == "nowhere" else files.path(file))
    for url in ("https://127.0.0.1:1", "grpcs://127.0.0.1:1"):
        with pytest.raises(CredentialsError) as raised:
            connect(url)
        assert said in str(raised.value)
        assert "my-own" not in str(raised.value)
