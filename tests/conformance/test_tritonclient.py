"""NVIDIA's own client library, unchanged, against the real server over both protocols."""

import asyncio
import json
import queue
from types import ModuleType

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from tcli_server.serving import Server

LIBRARIES = {"http": tritonclient.http, "grpc": tritonclient.grpc}
A = np.arange(32, dtype=np.float32).reshape(2, 16)
B = np.ones((2, 16), np.float32)


def port(server: Server, protocol: str) -> str:
    return f"127.0.0.1:{server.http_port if protocol == 'http' else server.grpc_port}"


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def library(protocol: str) -> ModuleType:
    return LIBRARIES[protocol]


@pytest.fixture
def client(library: ModuleType, protocol: str, server: Server):
    with library.InferenceServerClient(port(server, protocol)) as connected:
        yield connected


def as_dict(protocol: str, answer: object) -> dict:
    """Both libraries' answers in one form."""
    if protocol == "http":
        return answer  # type: ignore[return-value]
    from google.protobuf import json_format

    return json_format.MessageToDict(answer, preserving_proto_field_name=True)  # type: ignore[arg-type]


def tensor(library: ModuleType, name: str, array: np.ndarray, datatype: str = "FP32", **how: bool) -> object:
    made = library.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, **how)
    return made


def pair(library: ModuleType) -> list:
    return [tensor(library, "INPUT0", A), tensor(library, "INPUT1", B)]


def test_health_and_metadata(client, protocol: str):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("add_sub")
    assert client.is_model_ready("add_sub", "1")
    assert as_dict(protocol, client.get_server_metadata())["name"] == "triton"
    metadata = as_dict(protocol, client.get_model_metadata("add_sub"))
    assert metadata["versions"] == ["1"]
    assert [int(dim) for dim in metadata["inputs"][0]["shape"]] == [-1, 16]


def test_config(client, protocol: str):
    config = as_dict(protocol, client.get_model_config("add_sub"))
    config = config.get("config", config)
    assert config["max_batch_size"] == 8
    assert [int(dim) for dim in config["input"][0]["dims"]] == [16]
    if protocol == "http":
        assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 0, (
            "64-bit integers are numbers, not strings"
        )


def test_infer(client, library: ModuleType):
    result = client.infer("add_sub", pair(library), request_id="42")
    assert np.array_equal(result.as_numpy("OUTPUT0"), A + B)
    assert np.array_equal(result.as_numpy("OUTPUT1"), A - B)
    response = result.get_response()
    assert (response["id"] if isinstance(response, dict) else response.id) == "42"


def test_infer_requested_outputs(client, library: ModuleType):
    result = client.infer("add_sub", pair(library), outputs=[library.InferRequestedOutput("OUTPUT1")])
    assert result.as_numpy("OUTPUT0") is None
    assert np.array_equal(result.as_numpy("OUTPUT1"), A - B)


def test_infer_classification(client, library: ModuleType):
    result = client.infer("add_sub", pair(library), outputs=[library.InferRequestedOutput("OUTPUT0", class_count=2)])
    assert result.as_numpy("OUTPUT0").tolist() == [
        [b"16.000000:15", b"15.000000:14:class 14"],
        [b"32.000000:15", b"31.000000:14:class 14"],
    ]


def test_infer_strings(client, library: ModuleType):
    words = np.array([["hello", "wörld", ""]], np.object_)
    result = client.infer("identity_bytes", [tensor(library, "INPUT0", words, "BYTES")])
    assert [item.decode() for item in result.as_numpy("OUTPUT0").ravel()] == ["hello", "wörld", ""]


def test_infer_strings_as_json(server: Server):
    words = np.array([["hello", "wörld", ""]], np.object_)
    with tritonclient.http.InferenceServerClient(port(server, "http")) as client:
        wanted = tritonclient.http.InferRequestedOutput("OUTPUT0", binary_data=False)
        given = tensor(tritonclient.http, "INPUT0", words, "BYTES", binary_data=False)
        result = client.infer("identity_bytes", [given], outputs=[wanted])
    assert result.as_numpy("OUTPUT0").ravel().tolist() == ["hello", "wörld", ""]


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [("BOOL", np.bool_), ("INT8", np.int8), ("UINT64", np.uint64), ("FP16", np.float16), ("FP64", np.float64)],
)
def test_infer_types(client, library: ModuleType, datatype: str, dtype: type):
    array = np.array([[0, 1, 1, 0]], dtype)
    result = client.infer(f"identity_{datatype.lower()}", [tensor(library, "INPUT0", array, datatype)])
    assert result.as_numpy("OUTPUT0").dtype == dtype
    assert np.array_equal(result.as_numpy("OUTPUT0"), array)


def test_infer_bf16(client, library: ModuleType):
    array = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    result = client.infer("identity_bf16", [tensor(library, "INPUT0", array, "BF16")])
    assert np.array_equal(result.as_numpy("OUTPUT0"), array)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_infer_compressed(client, library: ModuleType, protocol: str, algorithm: str):
    if protocol == "http":
        how = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    else:
        how = {"compression_algorithm": algorithm}
    assert np.array_equal(client.infer("add_sub", pair(library), **how).as_numpy("OUTPUT0"), A + B)


def test_async_infer_http(server: Server):
    with tritonclient.http.InferenceServerClient(port(server, "http"), concurrency=8) as client:
        handles = [client.async_infer("add_sub", pair(tritonclient.http)) for _ in range(32)]
        assert all(np.array_equal(handle.get_result().as_numpy("OUTPUT0"), A + B) for handle in handles)


def test_async_infer_grpc(server: Server):
    answers: queue.Queue = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(port(server, "grpc")) as client:
        for _ in range(32):
            client.async_infer("add_sub", pair(tritonclient.grpc), lambda result, error: answers.put((result, error)))
        for _ in range(32):
            result, error = answers.get(timeout=60)
            assert error is None
            assert np.array_equal(result.as_numpy("OUTPUT0"), A + B)


def test_asyncio_clients(server: Server, protocol: str):
    async def ask() -> np.ndarray:
        library = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}[protocol]
        async with library.InferenceServerClient(port(server, protocol)) as client:
            results = await asyncio.gather(*(client.infer("add_sub", pair(LIBRARIES[protocol])) for _ in range(8)))
            return np.stack([result.as_numpy("OUTPUT0") for result in results])

    assert np.array_equal(asyncio.run(ask()), np.stack([A + B] * 8))


def test_statistics(client, library: ModuleType, protocol: str):
    client.infer("add_sub", pair(library))
    (stats,) = as_dict(protocol, client.get_inference_statistics("add_sub"))["model_stats"]
    assert int(stats["inference_count"]) >= 2
    assert int(stats["inference_stats"]["success"]["count"]) >= 1
    assert int(stats["inference_stats"]["compute_infer"]["ns"]) > 0


def test_errors_reach_the_client(client, library: ModuleType, protocol: str):
    statuses = {"http": ("404", "400"), "grpc": ("StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT")}[protocol]
    with pytest.raises(InferenceServerException) as unknown:
        client.get_model_metadata("nothing")
    assert unknown.value.status() == statuses[0]
    assert unknown.value.message() == "Request for unknown model: 'nothing' is not found"
    with pytest.raises(InferenceServerException) as missing:
        client.infer("add_sub", pair(library)[:1])
    assert missing.value.status() == statuses[1]
    assert "expected 2 inputs but got 1 inputs for model 'add_sub'" in missing.value.message()


def test_load_is_refused_without_explicit_mode(client):
    with pytest.raises(InferenceServerException, match="explicit model load / unload is not allowed"):
        client.load_model("add_sub")


def test_model_control(library: ModuleType, protocol: str, controlled: Server):
    def index(client) -> list:
        answer = as_dict(protocol, client.get_model_repository_index())
        return answer if isinstance(answer, list) else answer["models"]

    with library.InferenceServerClient(port(controlled, protocol)) as client:
        assert index(client) == [{"name": "add_sub"}]
        client.load_model("add_sub")
        assert index(client) == [{"name": "add_sub", "version": "1", "state": "READY"}]
        override = {"backend": "onnxruntime", "max_batch_size": 3}
        client.load_model("add_sub", config=json.dumps(override))
        config = as_dict(protocol, client.get_model_config("add_sub"))
        assert config.get("config", config)["max_batch_size"] == 3
        client.unload_model("add_sub")
        assert index(client) == [{"name": "add_sub", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
        with pytest.raises(InferenceServerException, match="failed to load 'nothing'"):
            client.load_model("nothing")


def test_model_pushed_by_the_client(library: ModuleType, protocol: str, controlled: Server):
    import onnx_models

    with library.InferenceServerClient(port(controlled, protocol)) as client:
        files = {"file:1/model.onnx": onnx_models.add_sub()}
        client.load_model("pushed", config='{"backend": "onnxruntime"}', files=files)
        assert np.array_equal(client.infer("pushed", pair(library)).as_numpy("OUTPUT1"), A - B)
