"""Tensors in shared memory over both protocols, with NVIDIA's clients and their own way of making it."""

import gc
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

from shared_numbers import NUMBERS
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.descriptors import usable_descriptors
from tcli_server.protocols.http.infer_request import TakesLongError, decode_request
from tcli_server.protocols.shared_memory import SystemSharedMemory
from tcli_server.serving import ServeOptions, Server
from waiting import until

STATUS = {"http": ("400", "404", "500", "501"), "grpc": ("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "UNIMPLEMENTED")}
INVALID, UNKNOWN, INTERNAL, DISABLED = range(4)


@pytest.fixture(scope="module")
def sharing(standard_repository: Path) -> Iterator[Server]:
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, allow_metrics=False,
        allow_client_shm=True,
    )  # fmt: skip
    with Server(Engine(standard_repository), options) as running:
        yield running


def connect(protocol: str, server: Server) -> tuple[Any, Any]:
    """NVIDIA's module of a protocol, and a client."""
    module = getattr(tritonclient, protocol)
    port = server.http_port if protocol == "http" else server.grpc_port
    return module, module.InferenceServerClient(f"127.0.0.1:{port}")


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, sharing: Server) -> Iterator[tuple[Any, Any]]:
    module, client = connect(request.param, sharing)
    yield module, client
    client.unregister_system_shared_memory()
    client.close()


def path(key: str) -> Path:
    return Path("/dev/shm") / key.lstrip("/")


def refused(protocol: Any, kind: int, words: str, call: Any, *arguments: Any, **named: Any) -> None:
    with pytest.raises(InferenceServerException, match=words) as caught:
        call(*arguments, **named)
    assert STATUS[protocol.__name__.rpartition(".")[2]][kind] in str(caught.value.status())


def infer(client: tuple[Any, Any], region: str, model: str = "identity_fp32", **more: Any) -> Any:
    """Input at the region's begin, output at its byte 1024."""
    module, connection = client
    size, shape, kind = more.get("size", 16), more.get("shape", [1, 4]), more.get("kind", "FP32")
    tensor = module.InferInput("INPUT0", shape, kind)
    tensor.set_shared_memory(region, size, more.get("offset", 0))
    output = module.InferRequestedOutput("OUTPUT0")
    output.set_shared_memory(region, more.get("room", 1024), more.get("to", 1024))
    return connection.infer(model, [tensor], outputs=[output])


def test_tensors_travel_through_a_region(client, key: str):
    over_http = client[0] is tritonclient.http
    name = "a region'\"" if over_http else "a/region'\""  # NVIDIA's client does not quote slashes in paths
    client[1].register_system_shared_memory(name, key, 4096)

    for factor in range(1, 10):  # the same request again, of other tensors
        with path(key).open("r+b") as file:
            file.write((NUMBERS * factor).tobytes())
        answer = infer(client, name).get_response()
        output = (
            answer["outputs"][0] if over_http else MessageToDict(answer, preserving_proto_field_name=True)["outputs"][0]
        )
        assert {**output, "shape": [*map(int, output["shape"])]} == {
            "name": "OUTPUT0", "datatype": "FP32", "shape": [1, 4],
        }  # fmt: skip
        assert path(key).read_bytes()[1024:1040] == (NUMBERS * factor).tobytes()


def test_strings_travel_through_a_region(client, key: str):
    text = np.array([[b"one", b"", "drü".encode()]], dtype=object)
    raw = serialize_byte_tensor(text).item()
    path(key).write_bytes(raw.ljust(4096, b"\0"))
    client[1].register_system_shared_memory("r", key, 4096)

    infer(client, "r", "identity_bytes", size=len(raw), shape=[1, 3], kind="BYTES")

    assert path(key).read_bytes()[1024 : 1024 + len(raw)] == raw


def test_a_region_beside_binary_data(client, key: str):
    module, connection = client
    connection.register_system_shared_memory("r", key, 4096)
    inputs = [module.InferInput(name, [1, 4 * 4], "FP32") for name in ("INPUT0", "INPUT1")]
    path(key).write_bytes(np.full(16, 3, np.float32).tobytes().ljust(4096, b"\0"))
    inputs[0].set_shared_memory("r", 64)
    inputs[1].set_data_from_numpy(np.ones((1, 16), np.float32))
    outputs = [module.InferRequestedOutput(name) for name in ("OUTPUT0", "OUTPUT1")]
    outputs[0].set_shared_memory("r", 64, 64)

    answer = connection.infer("add_sub", inputs, outputs=outputs)

    assert answer.as_numpy("OUTPUT1").tolist() == [[2.0] * 16]
    assert np.frombuffer(path(key).read_bytes()[64:128], np.float32).tolist() == [4.0] * 16


def test_classes_beside_a_region(client, key: str):
    module, connection = client
    connection.register_system_shared_memory("r", key, 4096)
    inputs = [module.InferInput(name, [1, 16], "FP32") for name in ("INPUT0", "INPUT1")]
    for tensor in inputs:
        tensor.set_shared_memory("r", 64)
    classes, difference = module.InferRequestedOutput("OUTPUT0", class_count=1), module.InferRequestedOutput("OUTPUT1")
    difference.set_shared_memory("r", 64, 64)

    answer = connection.infer("add_sub", inputs, outputs=[classes, difference])

    assert answer.as_numpy("OUTPUT0").tolist() == [[b"6.000000:3:class 3"]]
    assert np.frombuffer(path(key).read_bytes()[64:128], np.float32).tolist() == [0.0] * 16


def test_what_is_wrong_with_a_request(client, key: str):
    client[1].register_system_shared_memory("r", key, 2048, 2048)
    refused(client[0], UNKNOWN, "Unable to find shared memory region: 'other'", infer, client, "other")
    refused(client[0], INVALID, "Invalid offset for shared memory region: 'r'", infer, client, "r", offset=2048)
    refused(client[0], INVALID, r"Invalid offset \+ byte size", infer, client, "r", to=1025)
    refused(client[0], INVALID, "Expected 16, got 12", infer, client, "r", size=12)
    refused(client[0], INTERNAL, "output 'OUTPUT0'.*should be at least 16 bytes", infer, client, "r", room=15)


def test_inputs_of_one_request_are_not_endless(client, sharing: Server, key: str):
    module, connection = client
    connection.register_system_shared_memory("r", key, 4096)
    inputs = [module.InferInput(name, [1, 16], "FP32") for name in ("INPUT0", "INPUT1")]
    for tensor in inputs:
        tensor.set_shared_memory("r", 64)
    copies = sharing._shared.copies
    limit, copies.limit = copies.limit, 127
    try:
        refused(module, INVALID, "more than 127 bytes.*--max-pending-bytes", connection.infer, "add_sub", inputs)
    finally:
        copies.limit = limit
    connection.infer("add_sub", inputs)


def test_what_is_wrong_with_a_registration(client, key: str):
    module, connection = client
    register = connection.register_system_shared_memory
    refused(module, INTERNAL, "Unable to open shared memory region: '/nothing'", register, "r", "/nothing", 1)
    refused(module, INVALID, "failed to register shared memory region 'r': invalid args", register, "r", key, 4096, 1)
    refused(module, INVALID, "names no object", register, "r", "//", 1)
    refused(module, INVALID, "reserved", register, "r", "/triton_python_backend_shm_region_1", 1)
    register("r", key, 1)
    with pytest.raises(InferenceServerException, match="shared memory region 'r' already in manager"):
        register("r", key, 1)
    refused(module, UNKNOWN, "system shared memory region: 'x'", connection.get_system_shared_memory_status, "x")
    refused(module, UNKNOWN, "cuda shared memory region: 'x'", connection.get_cuda_shared_memory_status, "x")
    refused(module, INVALID, "GPUs", connection.register_cuda_shared_memory, "c", b"aGFuZGxl", 0, 1)
    connection.unregister_cuda_shared_memory("c")
    connection.unregister_system_shared_memory("never there")


def test_nothing_is_shared_unless_allowed(server: Server, key: str):
    for protocol in ("http", "grpc"):
        module, connection = connect(protocol, server)
        with connection:
            register = connection.register_system_shared_memory
            refused(module, DISABLED, "--allow-client-shm", register, "r", key, 4096)
            refused(module, DISABLED, "--allow-client-shm", connection.unregister_system_shared_memory)
            refused(module, DISABLED, "--allow-client-shm", infer, (module, connection), "r")
            connection.get_system_shared_memory_status()


def test_an_object_that_became_smaller_is_an_error(client, key: str):
    client[1].register_system_shared_memory("r", key, 4096)
    os.truncate(path(key), 1032)
    refused(client[0], INTERNAL, "has become smaller", infer, client, "r")
    os.truncate(path(key), 0)
    refused(client[0], INTERNAL, "has become smaller", infer, client, "r")
    os.truncate(path(key), 4096)
    infer(client, "r")


def test_regions_are_listed_and_not_endless(sharing: Server, key: str):
    _, connection = connect("http", sharing)
    with connection:
        most = min(4096, usable_descriptors() // 4)
        for number in range(most):
            sharing._shared.register(f"r{number}", key, 1, 2)
        with pytest.raises(InferenceServerException, match=f"there are {most} shared memory regions"):
            connection.register_system_shared_memory("more", key, 4096)
        assert len(connection.get_system_shared_memory_status()) == most
        assert connection.get_system_shared_memory_status("r7") == [
            {"name": "r7", "key": key, "offset": 1, "byte_size": 2}
        ]
        connection.unregister_system_shared_memory()
        assert connection.get_system_shared_memory_status() == []


def test_regions_leave_descriptors_for_connections(key: str):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))
    try:
        regions = SystemSharedMemory(True, 1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in range(10):
        regions.register(f"r{number}", key, 1, 2)
    with pytest.raises(InvalidArgumentError, match=r"there are 10 .*\(ulimit -n\)"):
        regions.register("more", key, 1, 2)


def test_names_and_keys_that_are_kept_are_short(client, key: str):
    module, connection = client
    register = connection.register_system_shared_memory
    register("r" * 256, key, 4096)
    refused(module, INVALID, "its name has 257 characters, expected at most 256", register, "r" * 257, key, 4096)
    refused(module, INVALID, "its shm key has .* characters", register, "r", "/" * 256 + key, 4096)


@pytest.mark.parametrize(("datatype", "size"), [("BYTES", 8 << 10), ("UINT8", 512 << 10)])
def test_many_inputs_of_one_region_are_left_to_a_thread_together(key: str, datatype: str, size: int):
    regions = SystemSharedMemory(True, 1 << 30)
    os.truncate(path(key), size)
    regions.register("r", key, 0, size)

    def decode(count: int) -> None:
        """For an event loop."""
        place = {"shared_memory_region": "r", "shared_memory_byte_size": size}
        shape = [size // (4 if datatype == "BYTES" else 1)]  # zeros are empty strings
        inputs = [
            {"name": str(number), "datatype": datatype, "shape": shape, "parameters": place} for number in range(count)
        ]
        decode_request(orjson.dumps({"inputs": inputs}), None, "m", "", 1 << 30, quickly=True, shared=regions)

    path(key).write_bytes(bytes(size))
    decode(2)
    with pytest.raises(TakesLongError):
        decode(3)


def test_descriptors_are_given_back(client, key: str):
    before = psutil.Process().num_fds()
    for number in range(200):
        client[1].register_system_shared_memory(f"r{number}", key, 4096)
    infer(client, "r199")
    client[1].unregister_system_shared_memory("r0")
    client[1].unregister_system_shared_memory()
    refused(client[0], UNKNOWN, "Unable to find", infer, client, "r199")

    def few() -> bool:
        gc.collect()
        return psutil.Process().num_fds() < before + 100

    until(few)
