"""Health, metadata, configuration, statistics and the repository over gRPC."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import model_config_pb2, service_pb2_grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

import onnx_models
from repositories import add_sub_config, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.serving import ServeOptions, Server


@pytest.fixture(scope="module")
def client(grpc_url: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(grpc_url) as connected:
        yield connected


def refusal_of(call, request) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refusal:
        call(request, timeout=60)
    return refusal.value.code(), refusal.value.details()


def test_health(client: triton.InferenceServerClient):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("add_sub")
    assert client.is_model_ready("add_sub", "1")


def test_readiness_of_what_is_not_there(stub):
    assert stub.ModelReady(pb.ModelReadyRequest(name="add_sub")).ready is True
    assert stub.ModelReady(pb.ModelReadyRequest(name="nope")).ready is False
    assert stub.ModelReady(pb.ModelReadyRequest(name="add_sub", version="9")).ready is False
    assert refusal_of(stub.ModelReady, pb.ModelReadyRequest(name="add_sub", version="x"))[0] == (
        grpc.StatusCode.INVALID_ARGUMENT
    )


@pytest.mark.parametrize("request_bytes", [b"", b"\x0a\x03any"])
def test_the_standard_health_check_serves_kubernetes_probes(channel: grpc.Channel, request_bytes: bytes):
    assert channel.unary_unary("/grpc.health.v1.Health/Check")(request_bytes, timeout=60) == b"\x08\x01"


def test_unknown_calls_are_unimplemented(channel: grpc.Channel):
    assert (
        refusal_of(channel.unary_unary("/inference.GRPCInferenceService/Nope"), b"")[0] == grpc.StatusCode.UNIMPLEMENTED
    )


def test_server_metadata(client: triton.InferenceServerClient):
    metadata = client.get_server_metadata()
    assert metadata.name == "triton"
    assert "model_configuration" in metadata.extensions


def test_model_metadata_shows_the_batch_dimension(client: triton.InferenceServerClient):
    metadata = client.get_model_metadata("add_sub")
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("add_sub", ["1"], "onnxruntime_onnx")
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [
        ("INPUT0", "FP32", [-1, 16]),
        ("INPUT1", "FP32", [-1, 16]),
    ]
    assert [tensor.name for tensor in metadata.outputs] == ["OUTPUT0", "OUTPUT1"]


def test_model_config(client: triton.InferenceServerClient):
    config = client.get_model_config("add_sub").config
    assert (config.name, config.max_batch_size) == ("add_sub", 8)
    assert config.input[0].data_type == model_config_pb2.TYPE_FP32
    assert config.instance_group[0].count == 1


def test_statistics_count_inferences(client: triton.InferenceServerClient):
    def successes() -> int:
        return client.get_inference_statistics("identity_int8").model_stats[0].inference_stats.success.count

    before = successes()
    tensor = triton.InferInput("INPUT0", [1, 2], "INT8")
    tensor.set_data_from_numpy(np.zeros((1, 2), np.int8))
    client.infer("identity_int8", [tensor])
    assert successes() == before + 1
    assert len(client.get_inference_statistics().model_stats) > 5


@pytest.mark.parametrize(("request_of", "text"), [
    (pb.ModelStatisticsRequest(name="nope"), "requested model 'nope' is not available"),
    (pb.ModelStatisticsRequest(name="add_sub", version="9"),
     "requested model version is not available for model 'add_sub'"),
], ids=["model", "version"])  # fmt: skip
def test_statistics_of_what_is_not_there(stub, request_of: pb.ModelStatisticsRequest, text: str):
    assert refusal_of(stub.ModelStatistics, request_of) == (grpc.StatusCode.INVALID_ARGUMENT, text)


def test_repository_index(client: triton.InferenceServerClient, stub):
    index = client.get_model_repository_index()
    assert ("add_sub", "1", "READY") in [(m.name, m.version, m.state) for m in index.models]
    assert refusal_of(stub.RepositoryIndex, pb.RepositoryIndexRequest(repository_name="a")) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "'repository_name' specification is not supported",
    )


def test_models_are_fixed_without_explicit_control(stub):
    for call, request in (
        (stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name="add_sub")),
        (stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="add_sub")),
    ):
        status, text = refusal_of(call, request)
        assert status == grpc.StatusCode.UNAVAILABLE
        assert text.startswith("explicit model load / unload is not allowed if polling is enabled")


# --- with explicit model control ---


@pytest.fixture
def explicit(tmp_path: Path, loopback: ServeOptions) -> Iterator[Server]:
    write_model(
        tmp_path, "add_sub", onnx_models.add_sub(), add_sub_config().replace('label_filename: "labels.txt"', "")
    )
    options = EngineOptions(model_control_mode="explicit")
    with Server(Engine(tmp_path, options=options), loopback) as running:
        yield running


def test_load_and_unload(explicit: Server):
    with triton.InferenceServerClient(f"127.0.0.1:{explicit.grpc_port}") as client:
        assert [(m.name, m.state) for m in client.get_model_repository_index().models] == [("add_sub", "")]
        client.load_model("add_sub")
        assert client.is_model_ready("add_sub")
        client.load_model("add_sub", config='{"backend": "onnxruntime", "max_batch_size": 4}')
        assert client.get_model_config("add_sub").config.max_batch_size == 4
        client.unload_model("add_sub")
        index = client.get_model_repository_index().models
        assert [(m.state, m.reason) for m in index] == [("UNAVAILABLE", "unloaded")]
        client.unload_model("never heard of")


def test_a_model_can_be_pushed_with_its_files(explicit: Server):
    with triton.InferenceServerClient(f"127.0.0.1:{explicit.grpc_port}") as client:
        files = {"file:1/model.onnx": onnx_models.identity()}
        client.load_model("pushed", config='{"backend": "onnxruntime"}', files=files)
        assert client.is_model_ready("pushed")


def test_a_large_file_is_pushed_whole(explicit: Server):
    """It travels beside the request's message: a model that is cut or changed does not load or does not answer so."""
    weights = np.arange(40_000, dtype=np.float32)
    with triton.InferenceServerClient(f"127.0.0.1:{explicit.grpc_port}") as client:
        files = {"file:1/model.onnx": onnx_models.constant(weights), "file:1/notes": b"n" * 70_000}
        client.load_model("pushed", config='{"backend": "onnxruntime"}', files=files)
        tensor = triton.InferInput("INPUT0", [1], "FP32")
        tensor.set_data_from_numpy(np.zeros(1, np.float32))
        assert np.array_equal(client.infer("pushed", [tensor]).as_numpy("OUTPUT0"), weights)
        with pytest.raises(InferenceServerException, match="expected at most 1048576"):
            client.load_model("pushed", config='{"backend": "' + "o" * (1 << 20) + '"}')


def test_loading_what_is_not_there(explicit: Server):
    with triton.InferenceServerClient(f"127.0.0.1:{explicit.grpc_port}") as client:
        with pytest.raises(InferenceServerException) as refusal:
            client.load_model("nope")
        assert refusal.value.status() == "StatusCode.INTERNAL"
        assert refusal.value.message().startswith("failed to load 'nope', failed to poll from model repository")


def test_load_parameters_are_checked(explicit: Server):
    with grpc.insecure_channel(f"127.0.0.1:{explicit.grpc_port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def load(key: str, field: str, value: object) -> tuple[grpc.StatusCode, str]:
            request = pb.RepositoryModelLoadRequest(model_name="add_sub")
            setattr(request.parameters[key], field, value)
            return refusal_of(stub.RepositoryModelLoad, request)

        invalid = grpc.StatusCode.INVALID_ARGUMENT
        assert load("config", "int64_param", 3) == (
            invalid,
            "invalid value type for load parameter 'config', expected string_param.",
        )
        assert load("file:1/a", "string_param", "a") == (
            invalid,
            "invalid value type for load parameter 'file:1/a', expected bytes_param.",
        )
        assert load("foo", "string_param", "a")[0] == invalid
        for size in (1, 100_000):
            assert load("foo", "bytes_param", bytes(size)) == (
                invalid,
                "unrecognized load parameter 'foo', expected 'config' or 'file:<path>'",
            )
        unload = pb.RepositoryModelUnloadRequest(model_name="add_sub")
        unload.parameters["unload_dependents"].string_param = "yes"
        assert refusal_of(stub.RepositoryModelUnload, unload) == (
            invalid,
            "invalid value type for 'unload_dependents' parameter, expected bool_param.",
        )
