"""Vertex AI's and SageMaker's endpoints, as a running Triton 2.51 answers them."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import onnx_models
from repositories import write_model
from serve_command import PATIENCE
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.security import SecurityOptions
from tcli_server.serving import ServeOptions, Server, check_services
from tls_files import TlsFiles
from triton_cli.serve_clouds import sagemaker, vertex_ai

JSON = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]}
REDIRECT = "X-Vertex-Ai-Triton-Redirect"
VALUES = np.array([1, 2, 3, 4], np.float32).tobytes()
HEADER = json.dumps(
    {
        "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}],
        "parameters": {"binary_data_output": True},
    }
).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("models")
    write_model(repository, "a name", onnx_models.identity())
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIP_HEALTH_ROUTE", "/v1/health")
        environment.setenv("AIP_PREDICT_ROUTE", "/v1/predict")
        environment.setenv("SAGEMAKER_TRITON_DEFAULT_MODEL_NAME", "a name")
        clouds = (vertex_ai(0, "a name"), sagemaker(0))
    options = ServeOptions(
        http_address="127.0.0.1",
        metrics_port=0,
        allow_http=False,
        allow_grpc=False,
        clouds=clouds,
        security=SecurityOptions(http_restricted_api=("statistics,logging:X-Key=secret",)),
    )
    with Server(Engine(repository), dataclasses.replace(options, metrics_address="127.0.0.1")) as server:
        yield server


@pytest.fixture
def vertex(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.cloud_ports['vertex_ai']}", timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def maker(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.cloud_ports['sagemaker']}", timeout=PATIENCE) as client:
        yield client


def test_paths_are_health_and_inference_on_the_one_model(vertex: httpx.Client, maker: httpx.Client):
    for client, health, infer in ((vertex, "/v1/health", "/v1/predict"), (maker, "/ping", "/invocations")):
        assert client.get(health).status_code == 200
        for _ in range(3):  # the head that comes again is still this path's
            answer = client.post(infer, json=JSON)
            assert (answer.status_code, answer.json()["model_name"]) == (200, "a name")
            assert answer.json()["outputs"][0]["data"] == [1.0, 2.0, 3.0, 4.0]
        assert client.post(health).status_code == 405
        assert client.get(infer).status_code == 405
        assert client.post(infer, content=b'{"bad').status_code == 500
        for other in ("/", "/v2", "/v2/health/ready", "/metrics", infer + "/x"):
            answer = client.get(other)
            assert (answer.status_code, answer.content) == (400, b""), other


def test_a_header_of_vertex_ai_s_means_another_endpoint(vertex: httpx.Client, maker: httpx.Client):
    def redirected(target: str, client: httpx.Client = vertex, path: str = "/v1/predict") -> httpx.Response:
        return client.post(path, json=JSON, headers={REDIRECT: target})

    assert redirected("v2").json()["name"] == "triton"
    assert redirected("v2/models/a%20name").json()["name"] == "a name"
    assert redirected("v2/models/a%20name/infer").json()["outputs"][0]["data"] == [1.0, 2.0, 3.0, 4.0]
    assert redirected("v2/repository/index").json()[0]["state"] == "READY"
    assert "nv_inference_count" in redirected("metrics").text
    assert redirected("v2/models/nope/infer").status_code == 404
    for target in ("nope", "/v2", "v1/predict"):
        assert redirected(target).status_code == 400, target
    assert vertex.get("/v1/predict", headers={REDIRECT: "v2"}).status_code == 405
    assert redirected("v2", maker, "/invocations").json()["model_name"] == "a name"  # SageMaker has none


def test_what_is_restricted_is_so_by_another_way_too(vertex: httpx.Client):
    for target in ("v2/logging", "v2/models/stats?", "v2/models/a%20name/versions/1/stats"):
        for _ in range(2):  # the head that comes again is judged again
            assert vertex.post("/v1/predict", headers={REDIRECT: target}).status_code == 403, target
        found = [
            vertex.post("/v1/predict", headers={REDIRECT: target, "X-Key": key}).status_code for key in ("no", "secret")
        ]
        assert found[0] == 403 != found[1], target
    assert vertex.get("/v1/health", headers={REDIRECT: "v2/logging"}).status_code == 200  # which is no way


def test_a_lock_that_a_cloud_has_no_key_to_is_refused(tmp_path: Path):
    files = TlsFiles(tmp_path)
    (tmp_path / "tokens").write_text(f"all all {'t' * 20}\n")
    options = ServeOptions(clouds=(sagemaker(8080),))
    for security, field in (
        (SecurityOptions(auth_token_file=files.path("tokens")), "auth_token_file"),
        (SecurityOptions(files.options(mutual=True, protocol="http")), "http_use_ssl_mutual"),
    ):
        with pytest.raises(InvalidArgumentError, match=f"{field} does not go together with a cloud's port.*; fix: "):
            check_services(dataclasses.replace(options, security=security))
    check_services(dataclasses.replace(options, security=SecurityOptions(files.options(protocol="http"))))


def test_binary_tensors_are_told_by_the_content_type(vertex: httpx.Client, maker: httpx.Client):
    for client, infer, cloud in ((vertex, "/v1/predict", "vertex-ai"), (maker, "/invocations", "sagemaker")):
        media_type = f"application/vnd.{cloud}-triton.binary+json"
        for size in (len(HEADER), f" {len(HEADER)}"):
            kind = f"{media_type};json-header-size={size}"
            answer = client.post(infer, content=HEADER + VALUES, headers={"Content-Type": kind})
            assert answer.status_code == 200
            if cloud == "sagemaker":  # it hands no other header on
                assert "inference-header-content-length" not in answer.headers
                kind, _, length = answer.headers["content-type"].partition(";json-header-size=")
                assert kind == media_type
            else:
                length = answer.headers["inference-header-content-length"]
            assert json.loads(answer.content[: int(length)])["outputs"][0]["name"] == "OUTPUT0"
            assert answer.content[int(length) :] == VALUES
        wrong = {"Content-Type": f"{media_type};json-header-size=x"}
        assert client.post(infer, content=HEADER + VALUES, headers=wrong).status_code == 400
        for kind in (f"application/vnd.x-triton.binary+json;json-header-size={len(HEADER)}", media_type):
            assert client.post(infer, content=HEADER + VALUES, headers={"Content-Type": kind}).status_code == 500
