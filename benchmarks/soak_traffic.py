"""The clients of `soak.py`: each a thread that asks at a modest pace and counts what it asked of which model."""

import contextlib
import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import shared_memory
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from load import http_request
from running import Ports
from soak_models import SHAPE, remove_old_versions, write_version

_BYTES = 4 * 16
_CALLS_OF_A_CONNECTION = 50

Client = Callable[[], Iterator[None]]
"""Asks once each time that it is gone on with."""


class Tally:
    """What all clients counted.

    Attributes:
        answered: requests by model that were answered rightly.
        refused: requests by model that were wrong and refused.
        abandoned: requests by model whose client went away.
        faults: what should not be.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.abandoned: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.faults: list[str] = []

    def count(self, counter: "Counter[str]", key: str) -> None:
        with self._lock:
            counter[key] += 1

    def fault(self, text: str) -> None:
        with self._lock:
            self.faults.append(text)


class Traffic:
    """Clients against one server.

    Args:
        pace: requests a second of each client.
    """

    def __init__(self, server: Ports, repository: Path, pace: float) -> None:
        self.tally = Tally()
        self._server = server
        self._repository = repository
        self._pause = 1 / pace
        self._ends = threading.Event()
        clients: list[Client] = [
            self._http, self._json, self._grpc, self._streams, self._sequences,
            self._shared, self._loads, self._vanishing, self._mistakes,
        ]  # fmt: skip
        self._threads = [threading.Thread(target=self._run, args=(client, seed)) for seed, client in enumerate(clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client finish what it does."""
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: Client, seed: int) -> None:
        chance = random.Random(seed)
        while not self._ends.is_set():
            try:
                for _ in client():
                    if self._ends.wait(self._pause * chance.uniform(0.5, 1.5)):
                        break
            except Exception as error:  # whatever it is: it is what the soak looks for
                self.tally.fault(f"{client.__name__}: {type(error).__name__}: {error}"[:500])
                self._ends.wait(0.5)

    # --- plain requests ---

    def _http(self) -> Iterator[None]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)) as connection:
            for number in range(_CALLS_OF_A_CONNECTION):
                model = ("add", "echo", "both", "reloaded")[number % 4]
                array = np.full(SHAPE, number, np.float32)
                head, _, body = http_request("soak", model, {"INPUT0": array}).partition(b"\r\n\r\n")
                length = next(line[32:] for line in head.decode().split("\r\n") if line.startswith("Inference-Header"))
                connection.request(
                    "POST", f"/v2/models/{model}/infer", body, {"Inference-Header-Content-Length": length.strip()}
                )
                answer = connection.getresponse()
                got = answer.read()
                self._check(model, answer.status == 200 and got.endswith(_expected(model, array)), got)
                yield

    def _json(self) -> Iterator[None]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)) as connection:
            for number in range(_CALLS_OF_A_CONNECTION):
                model = ("cached", "add")[number % 2]
                data = [float(number % 10)] * 16
                status, got = _ask_json(connection, model, data)
                right = status == 200 and json.loads(got)["outputs"][0]["data"] == [value + 1 for value in data]
                self._check(model, right, got)
                yield

    def _grpc(self) -> Iterator[None]:
        with grpc.insecure_channel(f"127.0.0.1:{self._server.grpc}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for number in range(_CALLS_OF_A_CONNECTION):
                model = ("add", "cached", "echo", "both", "reloaded")[number % 5]
                array = np.full(SHAPE, number, np.float32)
                answer = stub.ModelInfer(message(model, array), timeout=60)
                self._check(model, answer.raw_output_contents[0] == _expected(model, array), answer)
                yield

    def _check(self, model: str, right: bool, got: object) -> None:
        if right:
            self.tally.count(self.tally.answered, model)
        else:
            self.tally.fault(f"{model}: {got!r}"[:500])

    # --- streams, sequences, shared memory ---

    def _streams(self) -> Iterator[None]:
        with grpc.insecure_channel(f"127.0.0.1:{self._server.grpc}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            array = np.zeros(SHAPE, np.float32)
            messages = [message("repeat", array) for _ in range(3)]
            answers = list(stub.ModelStreamInfer(iter(messages), timeout=60))
            right = len(answers) == 12 and not any(answer.error_message for answer in answers)
            for _ in messages:
                self._check("repeat", right, answers)
            yield

    def _sequences(self) -> Iterator[None]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)) as connection:
            name = random.randrange(1, 1 << 40)
            for step in range(5):
                parameters = {"sequence_id": name, "sequence_start": step == 0, "sequence_end": step == 4}
                status, got = _ask_json(connection, "sum", [1.0] * 16, parameters)
                right = status == 200 and json.loads(got)["outputs"][0]["data"] == [step + 1.0] * 16
                self._check("sum", right, got)
                if step < 4:
                    time.sleep(0.01)
            yield

    def _shared(self) -> Iterator[None]:
        memory = shared_memory.SharedMemory(create=True, size=2 * _BYTES)
        name = memory.name.lstrip("/")
        connection = http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)
        try:
            region = {"key": f"/{name}", "offset": 0, "byte_size": 2 * _BYTES}
            _post(connection, f"/v2/systemsharedmemory/region/{name}/register", region)
            for number in range(10):
                array = np.full(SHAPE, number, np.float32)
                memory.buf[:_BYTES] = array.tobytes()
                within = {"shared_memory_region": name, "shared_memory_byte_size": _BYTES}
                document = {
                    "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": SHAPE, "parameters": within}],
                    "outputs": [{"name": "OUTPUT0", "parameters": {**within, "shared_memory_offset": _BYTES}}],
                }
                got = _post(connection, "/v2/models/add/infer", document)
                self._check("add", bytes(memory.buf[_BYTES : 2 * _BYTES]) == _expected("add", array), got)
                yield
        finally:
            _post(connection, f"/v2/systemsharedmemory/region/{name}/unregister", {})
            connection.close()
            memory.close()
            memory.unlink()

    # --- loads, clients that go, mistakes ---

    def _loads(self) -> Iterator[None]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)) as connection:
            remove_old_versions(self._repository, "reloaded")
            write_version(self._repository, "reloaded")
            _post(connection, "/v2/repository/models/reloaded/load", {})
            self.tally.count(self.tally.operations, "reload")
            self._ends.wait(0.5)
            _post(connection, "/v2/repository/models/passing/unload", {})
            _post(connection, "/v2/repository/models/passing/load", {})
            self.tally.count(self.tally.operations, "unload and load")
            self._ends.wait(0.5)
            yield

    def _vanishing(self) -> Iterator[None]:
        whole = http_request("soak", "slow", {"INPUT0": np.zeros(SHAPE, np.float32)})
        for cut in (len(whole) // 3, len(whole) - 8, len(whole)):
            with socket.create_connection(("127.0.0.1", self._server.http)) as one:
                one.sendall(whole[:cut])
                time.sleep(0.005)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            if cut == len(whole):
                self.tally.count(self.tally.abandoned, "slow")
            yield
        with grpc.insecure_channel(f"127.0.0.1:{self._server.grpc}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            array = np.zeros(SHAPE, np.float32)
            call = stub.ModelInfer.future(message("slow", array))
            time.sleep(0.005)
            call.cancel()
            stream = stub.ModelStreamInfer(iter([message("slow", array)] * 2))
            time.sleep(0.01)
            stream.cancel()
            for _ in range(3):
                self.tally.count(self.tally.abandoned, "slow")
            yield

    def _mistakes(self) -> Iterator[None]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)) as connection:
            for body in ("{", json.dumps({"inputs": []}), json.dumps(_document([1.0] * 3))):
                connection.request("POST", "/v2/models/add/infer", body)
                answer = connection.getresponse()
                got = answer.read()
                if answer.status == 200:
                    self.tally.fault(f"a mistake was answered {got!r}"[:500])
                self.tally.count(self.tally.refused, "add")
                yield


def _expected(model: str, array: np.ndarray) -> bytes:
    return (array if model == "echo" else array + np.float32(1)).tobytes()


def _document(data: list[float], parameters: dict | None = None) -> dict:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": SHAPE, "data": data}
    return {"inputs": [tensor], "parameters": parameters or {}}


def _ask_json(
    connection: http.client.HTTPConnection, model: str, data: list[float], parameters: dict | None = None
) -> tuple[int, bytes]:
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps(_document(data, parameters)))
    answer = connection.getresponse()
    return answer.status, answer.read()


def _post(connection: http.client.HTTPConnection, path: str, document: dict) -> bytes:
    """The body of the answer.

    Raises:
        RuntimeError: it is no success.
    """
    connection.request("POST", path, json.dumps(document))
    answer = connection.getresponse()
    got = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {got!r}")
    return got


def message(model: str, array: np.ndarray) -> pb.ModelInferRequest:
    """An inference over gRPC."""
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="INPUT0", datatype="FP32", shape=array.shape)
    message.raw_input_contents.append(array.tobytes())
    return message
