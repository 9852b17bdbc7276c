"""Servers whose decoupled model is the test itself: it gets each request and answers as it likes."""

import contextlib
import dataclasses
import queue
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.serving import ServeOptions, Server


class DecoupledServer:
    """A server of the decoupled `many` ([N, M] FP32, at most 8 in a batch), and of `free`, which is not decoupled."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.model = server.engine.model("many")
        self.model.spec = dataclasses.replace(self.model.spec, decoupled=True)
        self._requests: queue.SimpleQueue[InferenceRequest] = queue.SimpleQueue()
        self.model._scheduler.submit = self._take

    def _take(self, request: InferenceRequest, _: object) -> bool:
        self._requests.put(request)
        return True

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.server.grpc_port}"

    @property
    def http_port(self) -> int:
        return self.server.http_port

    def request(self) -> InferenceRequest:
        """The next request that reached the model."""
        return self._requests.get(timeout=60)


def response(number: float, length: int = 4, **parameters: bool | int | float | str) -> InferenceResponse:
    """A response that holds a number so many times."""
    return InferenceResponse("many", "1", "", {"OUTPUT0": np.full((1, length), number, np.float32)}, parameters)


def send(request: InferenceRequest, *numbers: float) -> None:
    """Send a response for each number, the last of them final."""
    for number in numbers:
        assert request.send(dataclasses.replace(response(number), id=request.id), final=number == numbers[-1])


def flood(request: InferenceRequest, count: int, length: int) -> list[int]:
    """Begin to send as much as there is room for; tells, as it grows, how many responses are sent."""
    sent: list[int] = []

    def more() -> None:
        if len(sent) < count and not request.ended:
            request.send(response(float(len(sent)), length), final=len(sent) == count - 1)
            sent.append(len(sent))
            request.when_room(more)

    request.when_room(more)
    return sent


@contextlib.contextmanager
def decoupled_server(
    folder: Path, loopback: ServeOptions, options: GrpcOptions | None = None
) -> Iterator[DecoupledServer]:
    """A server whose model `many` is the test."""
    for name in ("many", "free"):
        write_model(folder, name, onnx_models.identity(shape=("N", "M")))
    with Server(Engine(folder), dataclasses.replace(loopback, grpc=options or GrpcOptions())) as server:
        yield DecoupledServer(server)
