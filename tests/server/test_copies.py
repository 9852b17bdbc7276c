"""How often a large tensor is copied between the network and the model: counted in memory that is taken while a request is served.

What the system copies between a socket and the process takes none, nor do pieces that are let go of at once. ONNX Runtime's own memory
is not counted, so an answer that is sent from where it lies takes nothing.
"""

import contextlib
import json
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import ngh2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import service_pb2 as pb

import h2_wire
from tcli_server import Engine
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.protocols.grpc.options import EngineName
from tcli_server.serving import ServeOptions, Server
from waiting import until

WIDTH = 375_000
SIZE = 4 * WIDTH
"""Bytes of a tensor: its length takes three bytes in a message of gRPC, so the second one lies at an even address like the first."""

LITTLE = 1 << 20
"""Bytes that come and go beside tensors: less than one."""

CONFIG = """
name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: 2
input [ {inputs} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ {width} ] }} ]
instance_group {{ count: 1 kind: KIND_CPU }}
{batching}
"""
PAIRS_ONLY = "dynamic_batching { preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 60000000 }"


def write_model(root: Path, name: str, inputs: dict[str, int], width: int, batching: str = "") -> None:
    """One that gives the largest number of its inputs, `width` times."""
    highest = [helper.make_node("ReduceMax", [one], [f"{one}_max"], axes=[1]) for one in inputs]
    nodes = [
        *highest,
        helper.make_node("Max", [f"{one}_max" for one in inputs], ["max"]),
        helper.make_node("Add", ["max", "zeros"], ["OUTPUT0"]),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, ["N", size]) for one, size in inputs.items()],
        [helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, ["N", width])],
        [numpy_helper.from_array(np.zeros((1, width), np.float32), "zeros")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (root / name / "1").mkdir(parents=True)
    (root / name / "1" / "model.onnx").write_bytes(model.SerializeToString())
    described = ", ".join(f'{{ name: "{one}" data_type: TYPE_FP32 dims: [ {size} ] }}' for one, size in inputs.items())
    text = CONFIG.format(name=name, inputs=described, width=width, batching=batching)
    (root / name / "config.pbtxt").write_text(text)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copies")
    write_model(root, "takes", {"INPUT0": WIDTH}, 1)
    write_model(root, "takes_two", {"INPUT0": WIDTH, "INPUT1": WIDTH}, 1)
    write_model(root, "gives", {"INPUT0": 1}, WIDTH)
    write_model(root, "gives_some", {"INPUT0": 1}, 80_000)
    write_model(root, "gives_pairs", {"INPUT0": 1}, WIDTH, PAIRS_ONLY)
    write_model(root, "pairs", {"INPUT0": WIDTH}, 1, PAIRS_ONLY)
    return root


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    with Server(Engine(repository), options("nghttp2")) as running:
        yield running


def options(engine: EngineName) -> ServeOptions:
    return ServeOptions(
        http_address="127.0.0.1",
        grpc_address="127.0.0.1",
        http_port=0,
        grpc_port=0,
        metrics_port=0,
        grpc=GrpcOptions(engine=engine),
    )


class HttpConnection:
    """Takes no memory while it asks and is answered."""

    def __init__(self, port: int, model: str, arrays: dict[str, np.ndarray]) -> None:
        described = [
            {"name": name, "datatype": "FP32", "shape": array.shape, "parameters": {"binary_data_size": array.nbytes}}
            for name, array in arrays.items()
        ]
        head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
        body = head + b"".join(array.tobytes() for array in arrays.values())
        lines = (
            f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Inference-Header-Content-Length: {len(head)}\r\n\r\n"
        )
        self._request = lines.encode() + body
        self._answer = memoryview(bytearray(SIZE + (1 << 16)))
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=h2_wire.PATIENCE)

    def prepare(self) -> None:
        """Nothing is left to do."""

    def ask(self) -> None:
        """Send the request, and read the answer."""
        self.send()
        self.read()

    def send(self) -> None:
        self._socket.sendall(self._request)

    def read(self) -> None:
        self._came, needed = 0, 1
        while self._came < needed:
            count = self._socket.recv_into(self._answer[self._came :])
            assert count
            self._came += count
            if needed == 1:
                lines = bytes(self._answer[: min(self._came, 500)]).partition(b"\r\n\r\n")[0]
                assert lines.startswith(b"HTTP/1.1 200"), lines
                length = next(line for line in lines.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                needed = len(lines) + 4 + int(length.partition(b":")[2])
                head = next(line for line in lines.split(b"\r\n") if line.lower().startswith(b"inference-header"))
                self._tensors = needed - len(lines) - 4 - int(head.partition(b":")[2])

    def number(self) -> float:
        """The number that the answer is full of."""
        return the_one(self._answer[self._came - self._tensors : self._came])

    def close(self) -> None:
        self._socket.close()


class GrpcConnection:
    """As `HttpConnection`; the frames of a request are made ahead."""

    def __init__(self, port: int, model: str, arrays: dict[str, np.ndarray]) -> None:
        message = pb.ModelInferRequest(model_name=model, id="x")
        for name, array in arrays.items():
            message.inputs.add(name=name, datatype="FP32", shape=array.shape)
            message.raw_input_contents.append(array.tobytes())
        self._message = h2_wire.message(message.SerializeToString())
        self._wire = h2_wire.Wire(port, {ngh2.Setting.INITIAL_WINDOW_SIZE: 4 * SIZE})
        self._wire.h2.set_local_window_size(64 * SIZE)
        assert self._wire.is_live()  # and the server's windows are known
        self._answer = memoryview(bytearray(SIZE + (1 << 16)))

    def prepare(self) -> None:
        """Make the next request's frames."""
        self._stream = self._wire.h2.send_request(h2_wire.head(h2_wire.INFER))
        self._wire.h2.send_data(self._stream, self._message, end_stream=True)
        self._wire.answers[self._stream] = h2_wire.Answer()
        self._frames = self._wire.h2.data_to_send()
        assert len(self._frames) > len(self._message)

    def ask(self) -> None:
        """As `HttpConnection.ask`."""
        self.send()
        self.read()

    def send(self) -> None:
        self._wire.socket.sendall(self._frames)

    def read(self) -> None:
        self._came = frame = 0
        while True:
            count = self._wire.socket.recv_into(self._answer[self._came :])
            assert count
            self._came += count
            while self._came - frame >= 9:
                size, kind, flags = (
                    int.from_bytes(self._answer[frame : frame + 3]),
                    *self._answer[frame + 3 : frame + 5],
                )
                frame += 9 + size
                if kind == 1 and flags & 1 and self._came >= frame:  # the headers that end the stream
                    return

    def number(self) -> float:
        """As `HttpConnection.number`."""
        self._wire.h2.receive_data(self._answer[: self._came])
        for event in self._wire.h2.events():
            self._wire._take_event(event)
        answer = self._wire.answers[self._stream]
        assert answer.status == 0, answer.details
        (raw,) = pb.ModelInferResponse.FromString(answer.messages[0]).raw_output_contents
        return the_one(raw)

    def close(self) -> None:
        self._wire.socket.close()


def taken(ask: Callable[[], None]) -> int:
    """Bytes that were in use at once at most, beyond those before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        ask()
        _, most = tracemalloc.get_traced_memory()
        return most - before
    finally:
        tracemalloc.stop()


def the_one(raw: bytes | memoryview) -> float:
    (found,) = set(np.frombuffer(bytes(raw), np.float32).tolist())
    return found


def tensor(largest: float, width: int = WIDTH) -> np.ndarray:
    array = np.zeros((1, width), np.float32)
    array[0, -1] = largest
    return array


Connection = HttpConnection | GrpcConnection
LOADS = {
    "takes": ({"INPUT0": tensor(7)}, SIZE),
    "takes_two": ({"INPUT0": tensor(7), "INPUT1": tensor(3)}, 2 * SIZE),
    "gives": ({"INPUT0": tensor(7, 1)}, 0),
}


def connected(server: Server, protocol: str, model: str, arrays: dict[str, np.ndarray]) -> Connection:
    if protocol == "http":
        return HttpConnection(server.http_port, model, arrays)
    return GrpcConnection(server.grpc_port, model, arrays)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model", LOADS)
def test_a_tensor_is_read_to_one_place_and_sent_from_where_it_lies(server: Server, protocol: str, model: str):
    arrays, expected = LOADS[model]
    with contextlib.closing(connected(server, protocol, model, arrays)) as connection:
        for turn in range(6):  # what repeats is remembered from the first few on
            connection.prepare()
            found = taken(connection.ask)
            assert connection.number() == 7
            assert expected <= found < expected + LITTLE or not turn


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_batch_is_joined_in_memory_that_is_there(server: Server, protocol: str):
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        connections = [
            stack.enter_context(contextlib.closing(connected(server, protocol, "pairs", {"INPUT0": tensor(number)})))
            for number in (1, 2)
        ]

        def ask() -> None:
            list(pool.map(lambda connection: connection.ask(), connections))

        for turn in range(4):
            for connection in connections:
                connection.prepare()
            found = taken(ask)
            assert [connection.number() for connection in connections] == [1, 2]
            assert 2 * SIZE <= found < 2 * SIZE + LITTLE or not turn


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_answers_that_wait_for_their_clients_stay_as_they_are(server: Server, protocol: str):
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(
                contextlib.closing(connected(server, protocol, "gives_pairs", {"INPUT0": tensor(number, 1)}))
            )
            for number in range(8)
        ]
        for _ in range(3):
            for connection in connections:
                connection.prepare()
                connection.send()
            for connection in reversed(connections):
                connection.read()
            assert [connection.number() for connection in connections] == list(range(8))


def test_large_answers_of_one_connection_go_side_by_side(server: Server):
    """More than are kept in parts; some are cancelled before there is a window, some while they are sent."""
    with h2_wire.Wire(server.grpc_port, {ngh2.Setting.INITIAL_WINDOW_SIZE: 0}) as wire:
        streams = {}
        for number in range(40):
            asked = pb.ModelInferRequest(model_name="gives_some")
            asked.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 1])
            asked.raw_input_contents.append(np.float32(number).tobytes())
            streams[number] = wire.call(h2_wire.head(h2_wire.INFER), [h2_wire.message(asked.SerializeToString())])
        until(lambda: (wire.read(0.2), all(wire.answers[one].headers for one in streams.values()))[1])
        cancelled = [streams.pop(number) for number in range(0, 40, 4)]
        for one in cancelled[:5]:
            wire.h2.reset_stream(one)
        wire.h2.set_local_window_size(1 << 28)
        wire.h2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 20})
        wire.flush()
        until(lambda: wire.read(0.2) and any(wire.answers[one].data for one in streams.values()))
        for one in cancelled[5:]:
            wire.h2.reset_stream(one)
        wire.flush()
        for number, one in streams.items():
            answer = wire.answer(one)
            assert answer.status == 0, answer.details
            (raw,) = pb.ModelInferResponse.FromString(answer.messages[0]).raw_output_contents
            assert (len(raw), the_one(raw)) == (320_000, number)
        assert wire.is_live()


@pytest.mark.parametrize(("model", "copies"), [("takes", 2), ("gives", 3)])
def test_grpc_aio_wants_one_object_a_message(repository: Path, model: str, copies: int):
    """What it reads is joined by it, twice, and copied by us where the tensor lies at an odd address; what it sends is joined by us."""
    arrays, _ = LOADS[model]
    message = pb.ModelInferRequest(model_name=model)
    for name, array in arrays.items():
        message.inputs.add(name=name, datatype="FP32", shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    request = message.SerializeToString()
    with (
        Server(Engine(repository), options("aio")) as running,
        grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel,
    ):
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for turn in range(3):
            found = taken(lambda: call(request, timeout=h2_wire.PATIENCE))
            assert found < copies * SIZE + LITTLE or not turn
