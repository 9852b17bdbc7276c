"""Seeded requests about shared memory: each is answered, fittingly, and nothing of what is registered stays."""

import http.client
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import psutil
import pytest

from fuzz.seeds import seeds
from fuzz.shared_memory_requests import SIZE, shared_memory_requests
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

MISTAKES_THAT_TRITON_ANSWERS_WITH_500 = (
    "failed to parse the request JSON buffer",
    "Unable to parse '",
    "Unable to open shared memory region: '",
    "shared memory size specified with the request for output '",
)
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1200"))


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = SharedMemory(create=True, size=SIZE)
    yield made
    made.close()
    made.unlink()


@pytest.mark.parametrize("seed", seeds(1))
def test_every_request_is_answered_and_nothing_is_left(
    standard_repository: Path, memory: SharedMemory, seed: int, caplog: pytest.LogCaptureFixture
):
    options = ServeOptions(
        http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False, allow_client_shm=True
    )
    key = "/" + memory.name.lstrip("/")
    with Server(Engine(standard_repository), options) as server, caplog.at_level(logging.ERROR, "tcli_server"):
        connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)

        def ask(path: str, body: bytes) -> tuple[int, bytes]:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

        ask("/v2/systemsharedmemory/unregister", b"")
        before = psutil.Process().num_fds()
        statuses: Counter[tuple[str, int]] = Counter()
        for request in islice(shared_memory_requests(seed, key), REQUESTS):
            status, content = ask(request.path, request.body)
            statuses[request.path.rsplit("/", 1)[1], status] += 1
            assert status in (200, 400, 404, 500), (request, content)
            if status == 200 and request.path.endswith("/register"):
                assert json.loads(request.body)["key"] in (key, key[1:])
            if status == 500:
                assert json.loads(content)["error"].startswith(MISTAKES_THAT_TRITON_ANSWERS_WITH_500), (
                    request,
                    content,
                )
        assert {("register", 200), ("register", 400), ("infer", 200), ("infer", 400)} <= statuses.keys()
        ask("/v2/systemsharedmemory/unregister", b"")
        assert psutil.Process().num_fds() == before
        assert (
            ask("/v2/systemsharedmemory/region/mine/register", json.dumps({"key": key, "byte_size": SIZE}).encode())[0]
            == 200
        )
    assert not [record for record in caplog.records if record.exc_info]
