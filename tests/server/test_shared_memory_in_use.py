"""Shared memory regions while requests use them: clients that let go too early, streams, and how much is copied at once."""

import dataclasses
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from conftest import LOOPBACK
from decoupled_models import DecoupledServer, decoupled_server, response
from held_models import HeldServer, held_server
from shared_numbers import NUMBERS
from tcli_server.errors import UnavailableError
from tcli_server.protocols.counted_memory import CountedMemory
from waiting import until

SHARING = dataclasses.replace(LOOPBACK, allow_client_shm=True)
MODULES = {"http": tritonclient.http, "grpc": tritonclient.grpc}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldServer]:
    with held_server(tmp_path_factory.mktemp("held"), SHARING) as server:
        yield server


@pytest.fixture(scope="module")
def decoupled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecoupledServer]:
    with decoupled_server(tmp_path_factory.mktemp("decoupled"), SHARING) as server:
        yield server


def connect(protocol: str, server: Any) -> Any:
    port = server.http_port if protocol == "http" else server.grpc_port
    return MODULES[protocol].InferenceServerClient(
        f"127.0.0.1:{port}", **({"concurrency": 4} if protocol == "http" else {})
    )


def tensors(module: Any, to: int = 1024) -> dict[str, Any]:
    """Input at the region's begin, output behind it."""
    tensor = module.InferInput("INPUT0", [1, 4], "FP32")
    tensor.set_shared_memory("r", 16)
    output = module.InferRequestedOutput("OUTPUT0")
    output.set_shared_memory("r", 16, to)
    return {"inputs": [tensor], "outputs": [output]}


def content(key: str, offset: int) -> list[float]:
    return np.frombuffer(Path("/dev/shm", key.strip("/")).read_bytes()[offset : offset + 16], np.float32).tolist()


@pytest.fixture(params=MODULES)
def running(request: pytest.FixtureRequest, held: HeldServer, key: str) -> Iterator[tuple[Any, Any, Any]]:
    """NVIDIA's module, a client, and the answer to a request that the model has begun and waits to go on with."""
    module, began = MODULES[request.param], len(held.runs)

    def infer() -> None:
        with connect(request.param, held.server) as own:  # that of HTTP is for one thread
            own.infer("identity", **tensors(module))

    with connect(request.param, held.server) as connection, ThreadPoolExecutor(1) as pool:
        connection.register_system_shared_memory("r", key, 4096)
        answer = pool.submit(infer)
        held.accepted(began + 1, 0)
        yield module, connection, answer
        if not answer.done():
            held.allow()
        connection.unregister_system_shared_memory()


def test_a_region_that_is_unregistered_is_written_by_what_runs(running, held: HeldServer, key: str):
    _, connection, answer = running
    connection.unregister_system_shared_memory("r")
    with pytest.raises(InferenceServerException, match="Unable to find"):
        connection.get_system_shared_memory_status("r")
    descriptors = psutil.Process().num_fds()

    held.allow()
    answer.result(60)

    assert content(key, 1024) == NUMBERS[0].tolist()
    until(lambda: psutil.Process().num_fds() < descriptors)  # that of the region


def test_an_object_that_becomes_smaller_fails_what_runs(running, held: HeldServer, key: str):
    module, connection, answer = running
    os.truncate(Path("/dev/shm", key.strip("/")), 1030)

    held.allow()
    with pytest.raises(InferenceServerException, match="has become smaller"):
        answer.result(60)

    held.allow()
    assert connection.infer("identity", **tensors(module, to=512)).get_response()


def test_inputs_that_were_read_count_until_their_requests_end(running, held: HeldServer):
    module, connection, answer = running
    copies = held.server._shared.copies
    limit, copies.limit = copies.limit, 31
    try:
        assert copies.used == 16
        with pytest.raises(
            InferenceServerException, match=r"16 bytes already, of 31 \(--max-pending-bytes\)"
        ) as refusal:
            connection.infer("identity", **tensors(module))
        assert refusal.value.status() in ("503", "StatusCode.UNAVAILABLE")
        held.allow()
        answer.result(60)
        until(lambda: copies.used == 0)
        held.allow()
        connection.infer("identity", **tensors(module))
    finally:
        copies.limit = limit


def test_a_stream_s_responses_each_go_to_the_region(decoupled: DecoupledServer, key: str):
    module, answers = tritonclient.grpc, queue.SimpleQueue()
    with connect("grpc", decoupled.server) as connection:
        connection.register_system_shared_memory("r", key, 4096)
        connection.start_stream(lambda result, error: answers.put(error or result))
        for model in ("many", "free", "many"):
            connection.async_stream_infer(model, **tensors(module))
            if model == "free":
                assert answers.get(timeout=60).get_response().raw_output_contents == [b""]
                assert content(key, 1024) == NUMBERS[0].tolist()
                continue
            request = decoupled.request()
            assert request.inputs["INPUT0"].tolist() == NUMBERS.tolist()
            for number, final in ((5.0, False), (6.0, True)):
                request.send(dataclasses.replace(response(number), id=request.id), final=final)
                output = answers.get(timeout=60).get_response()
                assert (list(output.outputs[0].shape), output.raw_output_contents) == ([1, 4], [b""])
                assert content(key, 1024) == [number] * 4
        connection.stop_stream()


def test_memory_counts_while_it_is_referred_to():
    memory = CountedMemory(10)
    pieces = [memory.allocate(11)]  # one is always given
    with pytest.raises(UnavailableError, match="11 bytes already, of 10"):
        memory.allocate(1)
    view = np.frombuffer(pieces.pop(), np.uint8)[5:]
    assert memory.used == 11
    del view
    assert memory.used == 0

    def take() -> None:
        for _ in range(1000):
            memory.allocate(3)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.used == 0
