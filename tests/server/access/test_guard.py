"""Who may ask what of a running server, over HTTP, on both engines of gRPC, and on the metrics port."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from held_models import identity
from http_wire import Wire, get, post
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.access_log import AccessLogOptions
from tcli_server.protocols import following
from tcli_server.protocols.access.apis import Api
from tcli_server.protocols.access.restricted import read_restrictions
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.protocols.grpc.guard import api_of as grpc_api_of
from tcli_server.protocols.http.guard import api_of as http_api_of
from tcli_server.protocols.security import SecurityOptions
from tcli_server.serving import ServeOptions, Server
from waiting import until

ALL, INFER, METRICS = "all-all-all-all-all", "infer-infer-infer-infer", "metrics-metrics-metrics"
LINES = f"admin all {ALL}\ngateway inference,metadata {INFER}\nprometheus metrics {METRICS}\n"
LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
BODY = b'{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"FP32","data":[1]}]}'
MODEL = "/v2/models/identity_fp32"


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n"


def replace(path: Path, lines: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(lines)
    new.chmod(0o600)
    os.replace(new, path)  # noqa: PTH105 - as one writes it


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("access") / "tokens"
    replace(path, LINES)
    return path


@pytest.fixture(scope="module", params=["nghttp2", "aio"])
def server(request: pytest.FixtureRequest, token_file: Path, standard_repository: Path) -> Iterator[Server]:
    """One that wants tokens, and a header for statistics besides."""
    security = SecurityOptions(
        auth_token_file=str(token_file),
        http_restricted_api=("statistics,logging:X-Key=p=ss",),
        grpc_restricted_protocol=("statistics,logging:Key=p=ss",),
    )
    options = dataclasses.replace(
        LOOPBACK,
        security=security,
        grpc=GrpcOptions(engine=request.param, reflection=True),
        access_log=AccessLogOptions(str(token_file.with_name("access.log"))),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "INTERVAL_SECS", 0.02)
        with Server(Engine(standard_repository), options) as running:
            yield running


@pytest.fixture
def stub(server: Server) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_the_access_log_says_what_was_not_given(server: Server, token_file: Path):
    with Wire(server.http_port) as wire:
        wire.send(post(BODY, f"{MODEL}/infer?secret"))
        assert wire.read().status == 401
    paths = ("/inference.GRPCInferenceService/ModelInfer", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        for path in paths:
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(path)(b"", timeout=60)
    log = token_file.with_name("access.log")
    until(lambda: f'"POST {MODEL}/infer?secret" 401' in log.read_text())
    until(lambda: all(f'gRPC "POST {path}" UNAUTHENTICATED bytes_in=0' in log.read_text() for path in paths))


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (get("/v2/health/live"), 200, ""),
        (get("/v2/health/ready?x", bearer("wrong")), 200, ""),
        (get(MODEL), 401, "a token is needed"),
        (get(f"{MODEL}/ready"), 401, "a token is needed"),
        (get("/v2/nowhere"), 401, "a token is needed"),
        (get(MODEL, bearer("x" * 20)), 401, "the token is not known"),
        (get(MODEL, bearer("")), 401, "the token is not known"),
        (get(MODEL, bearer("ä" * 20)), 401, "the token is not known"),
        (get(MODEL, f"Authorization: Basic {INFER}\r\n"), 401, "a token is needed"),
        (get(MODEL, bearer(INFER) * 2), 401, "the token is not known"),
        (get(MODEL, bearer(INFER)), 200, ""),
        (get(MODEL, bearer(INFER).replace("Bearer", "bEARER ")), 200, ""),
        (get(f"http://x{MODEL}", bearer(METRICS)), 403, "expecting the scope 'metadata'"),
        (get(f"{MODEL}/config", bearer(INFER)), 403, "expecting the scope 'model-config'"),
        (post(b"", "/v2/repository/models/x/load", bearer(INFER)), 403, "expecting the scope 'model-repository'"),
        (get("/v2/models/stats", bearer(ALL)), 403, "This API is restricted, expecting header 'X-Key'"),
        (get("/v2/models/stats", bearer(ALL) + "x-KEY: p=SS\r\n"), 403, "This API is restricted"),
        (get("/v2/models/stats", "x-key: p=ss\r\n"), 401, "a token is needed"),
        (get("/v2/models/stats", bearer(ALL) + "x-key: p=ss\r\n"), 200, ""),
        (get("/v2/nowhere", bearer(METRICS)), 404, "Not Found"),
    ],
)  # fmt: skip
def test_http_asks_for_a_token_with_the_right_scope(server: Server, request_: bytes, status: int, said: str):
    with Wire(server.http_port) as wire:
        wire.send(request_)
        answer = wire.read()
    assert answer.status == status
    assert said in answer.body.decode()
    challenge = answer.headers.get("www-authenticate", "")
    assert challenge.startswith("Bearer realm=") == (status == 401 or "scope" in said)


def test_no_byte_of_a_body_is_waited_for_or_asked_for(server: Server):
    head = f"POST {MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n"
    with Wire(server.http_port) as wire:
        wire.send(head.encode())
        assert wire.read().status == 401
        assert wire.closed()


def test_each_request_of_a_connection_is_judged_by_its_own_token(server: Server):
    good, bad = post(BODY, f"{MODEL}/infer", bearer(INFER)), post(BODY, f"{MODEL}/infer", bearer(METRICS))
    with Wire(server.http_port) as wire:
        wire.send(good * 3 + bad + good)  # the first teach the connection their head
        assert [wire.read().status for _ in range(4)] == [200, 200, 200, 403]
        assert wire.closed()


def test_a_token_that_is_taken_back_counts_no_more_on_connections_that_have_used_it(
    server: Server, stub: service_pb2_grpc.GRPCInferenceServiceStub, token_file: Path
):
    request, metadata = post(BODY, f"{MODEL}/infer", bearer(INFER)), [("authorization", f"Bearer {INFER}")]
    with Wire(server.http_port) as wire, Wire(server.http_port) as in_two:
        head, _, body = request.partition(b"\r\n\r\n")
        for _ in range(3):
            wire.send(request)
            assert wire.read().status == 200
            in_two.send(head + b"\r\n\r\n")
            in_two.send(body)
            assert in_two.read().status == 200
            stub.ModelInfer(identity(model_name="identity_fp32"), metadata=metadata, timeout=60)
        replace(token_file, LINES.replace(INFER, "another-another-another"))
        try:
            until(lambda: status(server, get(MODEL, bearer(INFER))) == 401)
            wire.send(request)
            assert wire.read().status == 401
            in_two.send(head + b"\r\n\r\n")
            assert in_two.read().status == 401
            with pytest.raises(grpc.RpcError) as raised:
                stub.ModelInfer(identity(model_name="identity_fp32"), metadata=metadata, timeout=60)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        finally:
            replace(token_file, LINES)
            until(lambda: status(server, get(MODEL, bearer(INFER))) == 200)


def status(server: Server, request: bytes, port: int = 0) -> int:
    with Wire(port or server.http_port) as wire:
        wire.send(request)
        return wire.read().status


def test_the_metrics_port_has_a_scope_of_its_own(server: Server):
    asked = [get("/metrics"), get("/v2/health/live"), get("/metrics", bearer(INFER)), get("/metrics", bearer(METRICS))]
    assert [status(server, request, server.metrics_port) for request in asked] == [401, 401, 403, 200]


def code(call: grpc.Future) -> grpc.StatusCode:
    return call.exception(timeout=60).code() if call.exception(timeout=60) else grpc.StatusCode.OK


def test_grpc_asks_for_a_token_with_the_right_scope(stub: service_pb2_grpc.GRPCInferenceServiceStub):
    def asked(name: str, request: object, *metadata: tuple[str, str | bytes]) -> tuple[grpc.StatusCode, str]:
        call = getattr(stub, name).future(request, timeout=60, metadata=metadata)
        return code(call), call.details() or ""

    ok = grpc.StatusCode.OK
    live, about, statistics = pb.ServerLiveRequest(), pb.ServerMetadataRequest(), pb.ModelStatisticsRequest()
    token, other = ("authorization", f"Bearer {INFER}"), ("authorization", f"Bearer {ALL}")
    assert asked("ServerLive", live) == (ok, "")
    assert asked("ServerMetadata", about)[0] is grpc.StatusCode.UNAUTHENTICATED
    assert asked("ServerMetadata", about, token) == (ok, "")
    assert asked("ServerMetadata", about, token, token)[0] is grpc.StatusCode.UNAUTHENTICATED
    assert (
        asked("ServerMetadata", about, ("authorization-bin", token[1].encode()))[0] is grpc.StatusCode.UNAUTHENTICATED
    )
    assert asked("ModelConfig", pb.ModelConfigRequest(name="identity_fp32"), token) == (
        grpc.StatusCode.PERMISSION_DENIED, "the token is not for this API, expecting the scope 'model-config'",
    )  # fmt: skip
    assert asked("ModelStatistics", statistics, other) == (
        grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'triton-grpc-protocol-Key'",
    )  # fmt: skip
    key = ("triton-grpc-protocol-key", "p=ss")
    assert asked("ModelStatistics", statistics, other, key) == (ok, "")
    assert asked("ModelStatistics", statistics, key)[0] is grpc.StatusCode.UNAUTHENTICATED


def test_a_stream_is_let_in_by_its_headers(server: Server, stub: service_pb2_grpc.GRPCInferenceServiceStub):
    requests = [identity(model_name="identity_fp32")] * 3
    metadata = (("authorization", f"Bearer {INFER}"),)
    answers = list(stub.ModelStreamInfer(iter(requests), timeout=60, metadata=metadata))
    assert [answer.error_message for answer in answers] == [""] * 3
    with pytest.raises(grpc.RpcError) as raised:
        list(stub.ModelStreamInfer(iter(requests), timeout=60))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"  # of no group: any token will do
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.stream_stream(reflection)
        with pytest.raises(grpc.RpcError) as raised:
            list(call(iter([b""]), timeout=60))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        list(call(iter([]), timeout=60, metadata=metadata))


def test_everything_that_can_be_asked_is_in_a_group_or_has_no_data(server: Server):
    ((_, application),) = server._http
    ungrouped = set()
    for route in application._router._routes:
        pattern = route.pattern.pattern.replace("(?P<version>[0-9]+)", "1")
        for made in (r"(?P<model>[^/]+)", r"(?P<model>[^/]*)", r"[^/]+"):
            pattern = pattern.replace(made, "m")
        path = pattern.replace("(?:/versions/1)?", "/versions/1").replace("(?:un)?", "un").replace("(?:/m)?", "/m")
        path = path.replace("(?:models/m/)?", "models/m/").replace("(?:/region/m)?", "/region/m")
        path = path.replace("\\", "")
        assert route.pattern.fullmatch(path), path
        if http_api_of(path.encode()) is None:
            ungrouped.add(path)
    assert [path for path in ungrouped if path not in ("/", "/v2/openapi.json") and not path.startswith("/ui/")] == []
    assert {status(server, get(path)) for path in ungrouped} == {200}
    names = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    assert all(grpc_api_of(f"/inference.GRPCInferenceService/{name}") for name in names)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["health"], "expected API1,API2,...:KEY=VALUE"),
        (["health:=s3cret"], "expected API1,API2,...:KEY=VALUE"),
        (["health:key:x=s3cret"], "with a KEY that a header may be called"),
        (["health:key="], "expected API1,API2,...:KEY=VALUE"),
        (["metrics:key=s3cret"], "unknown API 'metrics'; expected some of health, metadata"),
        (["health,trace:key=s3cret", "trace:key=s3cret"], "'trace' is restricted twice"),
    ],
)
def test_what_is_wrong_with_a_restriction_is_told(given: list[str], said: str):
    with pytest.raises(InvalidArgumentError) as raised:
        read_restrictions("http_restricted_api", given)
    assert said in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_value_may_hold_what_separates():
    assert read_restrictions("x", ["trace:key=a:b=c"])[Api.TRACE].value == b"a:b=c"
