"""Python models asked over HTTP and gRPC: parameters of every kind, many outputs, long strings, clients that are gone."""

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from python_models import write_python_model
from serve_command import Serving, serving
from waiting import until

SECONDS = 60
OUTPUTS = 100

ECHO_CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_STRING dims: [-1] }
output { name: "OUT" data_type: TYPE_STRING dims: [-1] }
"""
ECHO = """
import json


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = json.loads(request.parameters())
        given = {name: value for name, value in given.items() if not isinstance(value, float)}
        array = request.inputs()[0].as_numpy()
        if array.size == 1 and array[0] == b"parameters":
            array = np.array([request.parameters()], np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUT", array)], parameters=given)
"""
MANY = f"""
class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(f"OUT{{number}}", np.full(2, number, np.int64)) for number in range({OUTPUTS})]
            )
            for _ in requests
        ]
"""
MANY_CONFIG = 'backend: "python"\ninput { name: "IN" data_type: TYPE_STRING dims: [-1] }\n' + "".join(
    f'output {{ name: "OUT{number}" data_type: TYPE_INT64 dims: [2] }}\n' for number in range(OUTPUTS)
)
WAITING = """
import os
import time


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            name = os.path.join(pb_utils.get_model_dir(), request.request_id())
            open(name + ".begun", "w").close()
            deadline = time.monotonic() + 60
            while not request.is_cancelled() and time.monotonic() < deadline:
                time.sleep(0.002)
            if request.is_cancelled():
                open(name + ".cancelled", "w").close()
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", r.inputs()[0].as_numpy())]) for r in requests]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_python_model(folder, "echo", ECHO, ECHO_CONFIG)
    write_python_model(folder, "many", MANY, MANY_CONFIG)
    write_python_model(folder, "waiting", WAITING, ECHO_CONFIG)
    return folder


@pytest.fixture(scope="module")
def served(repository: Path) -> Iterator[Serving]:
    with serving("--model-repository", repository) as process:
        yield process


@pytest.fixture
def http(served: Serving) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{served.url('HTTP')}/v2/models", timeout=SECONDS) as client:
        yield client


@pytest.fixture
def stub(served: Serving) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(served.url("gRPC"), limits) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def body(*texts: str, name: str = "", **parameters: object) -> dict[str, object]:
    tensor = {"name": "IN", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    return {"id": name, "inputs": [tensor], "parameters": parameters}


def message(model: str, *texts: bytes, name: str = "") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model, id=name)
    request.inputs.add(name="IN", datatype="BYTES", shape=[len(texts)]).contents.bytes_contents.extend(texts)
    return request


def test_parameters_of_every_kind_over_http(http: httpx.Client):
    given = {"text": "t\u00e9xt", "number": -7, "large": 2**62, "flag": True, "off": False, "empty": "", "half": 0.5}
    answer = http.post("/echo/infer", json=body("parameters", **given)).json()
    assert json.loads(answer["outputs"][0]["data"][0]) == given
    del given["half"]  # a response may have none
    assert answer["parameters"] == given


def test_parameters_of_every_kind_over_grpc(stub):
    request = message("echo", b"parameters")
    request.parameters["text"].string_param = "t\u00e9xt"
    request.parameters["number"].int64_param = -7
    request.parameters["flag"].bool_param = False
    request.parameters["half"].double_param = 0.5
    answer = stub.ModelInfer(request, timeout=SECONDS)
    given = {"text": "t\u00e9xt", "number": -7, "flag": False, "half": 0.5}
    assert json.loads(answer.raw_output_contents[0][4:]) == given
    assert (answer.parameters["text"].string_param, answer.parameters["number"].int64_param) == ("t\u00e9xt", -7)
    assert answer.parameters["flag"].WhichOneof("parameter_choice") == "bool_param"
    assert "half" not in answer.parameters


def test_a_hundred_outputs(http: httpx.Client, stub):
    answer = http.post("/many/infer", json=body("x")).json()
    assert [output["data"] for output in answer["outputs"]] == [[number, number] for number in range(OUTPUTS)]
    found = stub.ModelInfer(message("many", b"x"), timeout=SECONDS)
    assert [np.frombuffer(raw, np.int64).tolist() for raw in found.raw_output_contents] == [
        [number, number] for number in range(OUTPUTS)
    ]
    one = http.post("/many/infer", json={**body("x"), "outputs": [{"name": "OUT42"}]}).json()
    assert [output["name"] for output in one["outputs"]] == ["OUT42"]


def test_long_and_strange_strings(http: httpx.Client, stub):
    texts = ["", "\u4e2d\u6587 \U0001f600", "\0", "x" * 3_000_000]
    assert http.post("/echo/infer", json=body(*texts)).json()["outputs"][0]["data"] == texts
    raw = [b"\xff\xfe\0", b"", bytes(8_000_000)]
    answer = stub.ModelInfer(message("echo", *raw), timeout=SECONDS)
    assert answer.raw_output_contents[0] == b"".join(len(each).to_bytes(4, "little") + each for each in raw)


def test_execute_sees_that_an_http_client_is_gone(repository: Path, served: Serving):
    folder = repository / "waiting" / "1"
    content = json.dumps(body("x", name="http")).encode()
    head = f"POST /v2/models/waiting/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", served.ports["HTTP"]), SECONDS) as wire:
        wire.sendall(head + content)
        until(lambda: (folder / "http.begun").exists())
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # to close is to reset
    until(lambda: (folder / "http.cancelled").exists())


def test_execute_sees_that_a_grpc_client_has_cancelled(repository: Path, stub):
    folder = repository / "waiting" / "1"
    call = stub.ModelInfer.future(message("waiting", b"x", name="grpc"), timeout=SECONDS)
    until(lambda: (folder / "grpc.begun").exists())
    call.cancel()
    until(lambda: (folder / "grpc.cancelled").exists())
