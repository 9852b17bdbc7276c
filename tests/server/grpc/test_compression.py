"""`--grpc-infer-response-compression-level`: how many bytes of an answer really travel."""

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.serving import ServeOptions, Server

SIZE = 1 << 20


class CountingWire:
    """A port that leads to another one and counts what comes back; for one connection.

    Attributes:
        port: where to connect to.
        received: bytes that came from the other port.
    """

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._target = socket.create_connection(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.received = 0

    def run(self) -> None:
        client, _ = self._listener.accept()
        upwards = threading.Thread(target=self._pump, args=(client, self._target))
        upwards.start()
        self.received = self._pump(self._target, client)
        upwards.join()
        for end in (client, self._target, self._listener):
            end.close()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> int:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
                passed += len(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        return passed


@contextlib.contextmanager
def counted(port: int) -> Iterator[CountingWire]:
    wire = CountingWire(port)
    running = threading.Thread(target=wire.run)
    running.start()
    yield wire
    running.join()


@pytest.mark.parametrize(("level", "least", "most"), [
    ("none", 2 * SIZE, 3 * SIZE), ("low", 0, SIZE // 20), ("medium", 0, SIZE // 20), ("high", 0, SIZE // 20),
])  # fmt: skip
def test_answers_are_compressed_as_the_option_says(
    tmp_path: Path, loopback: ServeOptions, level: str, least: int, most: int
):
    write_model(tmp_path, "identity", onnx_models.identity(shape=("N", "M")))
    options = dataclasses.replace(loopback, grpc=GrpcOptions(infer_response_compression_level=level))
    request = pb.ModelInferRequest(model_name="identity", raw_input_contents=[bytes(SIZE)])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, SIZE // 4])
    with Server(Engine(tmp_path), options) as running, counted(running.grpc_port) as wire:
        with grpc.insecure_channel(f"127.0.0.1:{wire.port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            answer = stub.ModelInfer(request, timeout=60)
            (streamed,) = stub.ModelStreamInfer(iter([request]), timeout=60)
        assert answer.raw_output_contents[0] == streamed.infer_response.raw_output_contents[0] == bytes(SIZE)
    assert least <= wire.received <= most
