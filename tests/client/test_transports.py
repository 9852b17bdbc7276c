"""Both transports against a real server, and against what is no V2 server."""

import contextlib
import dataclasses
import http.server
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import ml_dtypes
import numpy as np
import pytest
import trustme
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tcli_client import (
    AnswerError,
    Inference,
    InvalidRequestError,
    NotFoundError,
    Output,
    RequestTimeoutError,
    ServerUnreachableError,
    UnavailableError,
    UnsupportedError,
    WrongProtocolError,
    connect,
    served_models,
)
from tcli_client.tensors import datatype_of, from_raw
from tcli_server import Engine
from tcli_server.protocols.grpc import GrpcOptions, TlsOptions
from tcli_server.serving import Server

ARRAYS = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-(2**15), 1]], np.int16),
    "INT32": np.array([[-(2**31), 1]], np.int32),
    "INT64": np.array([[-(2**63), 1]], np.int64),
    "FP16": np.array([[0.5, -2]], np.float16),
    "BF16": np.array([[0.5, -2]], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, np.inf]], np.float32),
    "FP64": np.array([[0.1, -1e300]], np.float64),
    "BYTES": np.array([["grün".encode(), b""]], object),
}


def test_health_metadata_config_and_index(standard):
    assert standard.live()
    assert standard.ready()
    assert standard.model_ready("add_sub")
    assert standard.model_ready("add_sub", "1")
    assert not standard.model_ready("add_sub", "7")
    assert not standard.model_ready("nobody")
    assert "classification" in standard.metadata().extensions
    metadata = standard.model_metadata("add_sub")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs] == [
        ("INPUT0", "FP32", [-1, 16]),
        ("INPUT1", "FP32", [-1, 16]),
    ]
    config = standard.model_config("add_sub", "1")
    assert (config.max_batch_size, list(config.input[0].dims)) == (8, [16])
    assert config.HasField("dynamic_batching")
    assert ("add_sub", "1", "READY") in [(entry.name, entry.version, entry.state) for entry in standard.index()]
    assert "slow" in served_models(standard)


@pytest.mark.parametrize("datatype", ARRAYS)
def test_every_datatype_comes_back_as_it_was_sent(standard, datatype):
    sent = ARRAYS[datatype]
    assert datatype_of(sent) == datatype
    answer = standard.infer(Inference(f"identity_{datatype.lower()}", {"INPUT0": sent}, id="mine"))
    assert (answer.model, answer.version, answer.id) == (f"identity_{datatype.lower()}", "1", "mine")
    assert answer.outputs["OUTPUT0"].dtype == sent.dtype
    np.testing.assert_array_equal(answer.outputs["OUTPUT0"], sent)


def test_big_endian_arrays_and_views_are_sent_as_their_values(standard):
    sent = np.arange(8, dtype=">f4").reshape(4, 2).T
    answer = standard.infer(Inference("identity_fp32", {"INPUT0": sent}))
    np.testing.assert_array_equal(answer.outputs["OUTPUT0"], sent)


def test_only_wanted_outputs_and_classes(standard):
    rising = np.arange(32, dtype=np.float32).reshape(2, 16)
    inputs = {"INPUT0": rising, "INPUT1": rising}
    answer = standard.infer(Inference("add_sub", inputs, [Output("OUTPUT0", classes=2)]))
    assert answer.outputs.keys() == {"OUTPUT0"}
    assert answer.outputs["OUTPUT0"].tolist() == [
        [b"30.000000:15", b"28.000000:14:class 14"],
        [b"62.000000:15", b"60.000000:14:class 14"],
    ]


@pytest.mark.parametrize(
    "wanted", [[], ["OUTPUT0", "OUTPUT1"], ["OUTPUT1", "OUTPUT0"]], ids=["all", "in order", "the other way round"]
)
def test_each_of_several_outputs_has_its_own_values(standard, wanted):
    """They lie one behind the other in the answer."""
    first, second = np.arange(48, dtype=np.float32).reshape(3, 16), np.full((3, 16), 0.5, np.float32)
    inference = Inference("add_sub", {"INPUT0": first, "INPUT1": second}, [Output(name) for name in wanted])
    answer = standard.infer(inference)
    assert answer.outputs.keys() == {"OUTPUT0", "OUTPUT1"}
    np.testing.assert_array_equal(answer.outputs["OUTPUT0"], first + second)
    np.testing.assert_array_equal(answer.outputs["OUTPUT1"], first - second)


def test_classes_and_a_tensor_in_one_answer(standard):
    """Elements of unequal length lie in front of the numbers."""
    rising = np.arange(16, dtype=np.float32).reshape(1, 16)
    wanted = [Output("OUTPUT0", classes=3), Output("OUTPUT1")]
    answer = standard.infer(Inference("add_sub", {"INPUT0": rising, "INPUT1": rising / 2}, wanted))
    assert [item.partition(b":")[0] for item in answer.outputs["OUTPUT0"].ravel()] == [
        b"22.500000",
        b"21.000000",
        b"19.500000",
    ]
    np.testing.assert_array_equal(answer.outputs["OUTPUT1"], rising / 2)


def test_errors_are_the_servers_words(standard):
    with pytest.raises(NotFoundError, match="'nobody'"):
        standard.model_metadata("nobody")
    with pytest.raises(NotFoundError, match="version 7"):
        standard.model_config("add_sub", "7")
    unknown_output = Inference("identity_fp32", {"INPUT0": np.zeros((1, 2), np.float32)}, [Output("OUTPUT9")])
    with pytest.raises(InvalidRequestError, match="OUTPUT9"):
        standard.infer(unknown_output)


def test_a_name_that_needs_quoting_stays_a_name(standard):
    with pytest.raises(NotFoundError, match="not found"):
        standard.model_metadata("a/../b c?d#e")


def test_threads_share_a_transport(standard):
    def ask(number: int) -> float:
        array = np.full((1, 4), number, np.float32)
        return float(standard.infer(Inference("identity_fp32", {"INPUT0": array})).outputs["OUTPUT0"][0, 0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(64))) == list(range(64))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_never_answers(protocol):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        with connect(url, protocol, timeout=0.5) as transport, pytest.raises(RequestTimeoutError, match=url):
            transport.metadata()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_nobody_there(protocol):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        url = f"127.0.0.1:{taken.getsockname()[1]}"
        with connect(url, protocol) as transport, pytest.raises(ServerUnreachableError, match=url):
            transport.metadata()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_host_that_does_not_exist(protocol):
    with connect("no-such-host.invalid", protocol) as transport, pytest.raises(ServerUnreachableError, match="no-such"):
        transport.metadata()


def test_http_to_the_grpc_port_and_grpc_to_the_http_port(http_url, grpc_url):
    with connect(f"http://{grpc_url}") as transport, pytest.raises(WrongProtocolError, match="not in HTTP") as wrong:
        transport.metadata()
    assert f"grpc://{grpc_url}" in wrong.value.fix
    with connect(f"grpc://{http_url}") as transport, pytest.raises(WrongProtocolError, match="not in gRPC") as wrong:
        transport.metadata()
    assert f"http://{http_url}" in wrong.value.fix
    with connect(f"https://{http_url}") as transport, pytest.raises(WrongProtocolError, match="not in TLS") as wrong:
        transport.metadata()
    assert f"use http://{http_url}" in wrong.value.fix


def test_a_certificate_that_is_not_trusted(tmp_path, server):
    made = trustme.CA().issue_cert("localhost", "127.0.0.1")
    files = {name: str(tmp_path / name) for name in ("cert", "key")}
    made.cert_chain_pems[0].write_to_path(files["cert"])
    made.private_key_pem.write_to_path(files["key"])
    options = dataclasses.replace(
        server.options, grpc_port=0, grpc=GrpcOptions(tls=TlsOptions(files["cert"], files["key"])),
        http_port=0, metrics_port=0,
    )  # fmt: skip
    with Server(Engine(tmp_path), options) as other:
        url = f"grpcs://127.0.0.1:{other.grpc_port}"
        with connect(url) as transport, pytest.raises(ServerUnreachableError, match="not signed by") as untrusted:
            transport.metadata()
    assert "TCLI_CLIENT_CA" in untrusted.value.fix


def test_http_to_the_metrics_port(server):
    with connect(f"127.0.0.1:{server.metrics_port}") as transport:
        with pytest.raises(WrongProtocolError, match="not the V2 inference protocol"):
            transport.metadata()
        with pytest.raises(WrongProtocolError, match="not the V2 inference protocol"):
            transport.index()


def test_a_proxy_of_the_environment_is_not_asked(http_url, grpc_url, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://no-such-proxy.invalid:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for url in (f"http://{http_url}", f"grpc://{grpc_url}"):
        with connect(url) as transport:
            assert transport.live()


@contextlib.contextmanager
def plain_http(answers: dict[str, tuple[int, bytes]]):
    """An HTTP server that answers paths with (status, body); gives its URL and the bodies that it was sent."""
    received: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, body = answers.get(self.path, (404, b"<html>not here</html>"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", received
        finally:
            listening.shutdown()
            thread.join()


def test_a_server_without_binary_tensors_is_asked_in_json():
    answer = b'{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1.5,NaN]}, \
        {"name":"s","datatype":"BYTES","shape":[2],"data":["a","gr\\u00fcn"]}]}'
    metadata = b'{"name":"other","version":"1","extensions":[]}'
    answers = {"/v2": (200, metadata), "/v2/models/m/infer": (200, answer)}
    with plain_http(answers) as (url, received), connect(url) as transport:
        answered = transport.infer(Inference("m", {"x": np.ones((1, 2), np.float32)}))
    assert received[-1] == b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 1.0]}]}'
    np.testing.assert_array_equal(answered.outputs["y"], np.array([[1.5, np.nan]], np.float32))
    assert answered.outputs["s"].tolist() == [b"a", "grün".encode()]


def test_config_numbers_may_be_strings_and_fields_unknown():
    config = b'{"name":"m","max_batch_size":"4","input":[{"name":"x","dims":["3","8"],"news":1}],"future":{"a":[]}}'
    with plain_http({"/v2/models/m/config": (200, config)}) as (url, _), connect(url) as transport:
        found = transport.model_config("m")
    assert (found.max_batch_size, list(found.input[0].dims)) == (4, [3, 8])


def test_a_prefix_of_the_url_is_kept():
    with plain_http({"/triton/v2": (200, b'{"name":"behind"}')}) as (url, _), connect(f"{url}/triton") as transport:
        assert transport.metadata().name == "behind"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[1]",
        b'{"outputs":[{"name":"y"}]}',
        b'{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[9],"data":[1]}]}',
    ],
)
def test_an_answer_that_is_not_v2(body):
    answers = {"/v2": (200, b'{"extensions":["binary_tensor_data"]}'), "/v2/models/m/infer": (200, body)}
    with plain_http(answers) as (url, _), connect(url) as transport, pytest.raises(WrongProtocolError, match="V2"):
        transport.infer(Inference("m", {"x": np.ones(1, np.float32)}))


@pytest.mark.parametrize("body", [b"null", b"7", b"[1]", b'{"name":5}', b'{"extensions":7}'])
def test_a_description_that_is_not_v2(body):
    answers = {"/v2": (200, body)}
    with plain_http(answers) as (url, _), connect(url) as transport, pytest.raises(WrongProtocolError, match="V2"):
        transport.metadata()


def test_a_gateway_that_has_no_server_behind_it():
    with plain_http({"/v2": (503, b"<html>no upstream</html>")}) as (url, _), connect(url) as transport:
        with pytest.raises(UnavailableError, match="unavailable"):
            transport.metadata()
        with pytest.raises(WrongProtocolError, match="not the V2"):
            transport.model_metadata("m")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (404, NotFoundError),
        (501, UnsupportedError),
        (503, UnavailableError),
        (500, AnswerError),
        (429, AnswerError),
    ],
)
def test_each_status_is_an_error_of_its_own(status, kind):
    answers = {"/v2/models/m": (status, b'{"error":"not now"}')}
    with (
        plain_http(answers) as (url, _),
        connect(url) as transport,
        pytest.raises(AnswerError, match="not now") as refused,
    ):
        transport.model_metadata("m")
    assert type(refused.value) is kind
    assert refused.value.status == str(status)


def test_models_that_are_not_ready_are_not_served_ones():
    """Not every server knows the `ready` filter."""
    entries = [("a", "READY"), ("b", "UNAVAILABLE"), ("c", ""), ("d", "LOADING"), ("e", "UNLOADING"), ("a", "READY")]
    body = json.dumps([{"name": name, "version": "1", "state": state} for name, state in entries]).encode()
    with plain_http({"/v2/repository/index": (200, body)}) as (url, received), connect(url) as transport:
        assert served_models(transport) == ["a", "c"]
    assert json.loads(received[0]) == {"ready": True}


def test_answers_of_many_megabytes_arrive_whole(standard):
    """gRPC's own limit is 4 MiB."""
    sent = np.arange(3 << 20, dtype=np.float32).reshape(1, -1)
    np.testing.assert_array_equal(standard.infer(Inference("identity_fp32", {"INPUT0": sent})).outputs["OUTPUT0"], sent)


class _Typed(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers with typed contents, as servers other than Triton do."""

    def __init__(self, datatype: str, field: str, values: list) -> None:
        self._datatype, self._field, self._values = datatype, field, values

    def ModelInfer(self, request, context):  # noqa: N802, ARG002
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="3")
        output = answer.outputs.add(name="y", datatype=self._datatype, shape=[len(self._values)])
        getattr(output.contents, self._field).extend(self._values)
        return answer


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-(2**15)]),
        ("INT32", "int_contents", [-(2**31), 5]),
        ("INT64", "int64_contents", [-(2**63)]),
        ("UINT8", "uint_contents", [255]),
        ("UINT16", "uint_contents", [65535]),
        ("UINT32", "uint_contents", [2**32 - 1]),
        ("UINT64", "uint64_contents", [2**64 - 1]),
        ("FP32", "fp32_contents", [0.5]),
        ("FP64", "fp64_contents", [1e300]),
        ("BYTES", "bytes_contents", [b"a", b""]),
    ],
)
def test_typed_contents_of_grpc(datatype, field, values):
    server = grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Typed(datatype, field, values), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with connect(f"grpc://127.0.0.1:{port}") as transport:
            answer = transport.infer(Inference("m", {"x": np.ones(1, np.float32)}))
    finally:
        server.stop(None).wait()
    assert (answer.version, datatype_of(answer.outputs["y"])) == ("3", datatype)
    assert answer.outputs["y"].tolist() == values


@pytest.mark.parametrize("surplus", [1, 2, 4, 5, 2**31])
def test_a_string_that_ends_after_the_data(surplus):
    raw = (3).to_bytes(4, "little") + b"abc" + (2 + surplus).to_bytes(4, "little") + b"de"
    with pytest.raises(ValueError, match="string 1 ends after the data"):
        from_raw("BYTES", [2], raw)
