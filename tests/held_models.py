"""Servers whose model waits for the test's leave before each run, so that requests pile up behind it for certain."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.protocols.grpc import GrpcOptions
from tcli_server.serving import ServeOptions, Server
from waiting import until


class HeldServer:
    """A server of `identity` ([1, 4] FP32, no batches), which runs only as often as `allow` says, and of `free`.

    Attributes:
        runs: what each run that has begun was given: the first number of its input.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.runs: list[float] = []
        self._leave = threading.Semaphore(0)
        self.model = server.engine.model("identity")
        instance = self.model.instances[0].instance
        run = instance.run

        def held(inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
            self.runs.append(float(inputs["INPUT0"].ravel()[0]))
            assert self._leave.acquire(timeout=60)
            return run(inputs, outputs)

        instance.run = held

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.server.grpc_port}"

    @property
    def statistics(self) -> InferenceStatistics:
        return self.model.statistics

    @property
    def cancelled(self) -> int:
        return self.statistics.failure_count["CANCELED"]

    def allow(self, runs: int = 1) -> None:
        """Let the model run so many times more."""
        self._leave.release(runs)

    def accepted(self, running: int, waiting: int) -> None:
        """Wait until so many runs have begun and so many requests wait behind."""
        until(lambda: len(self.runs) == running and self.model.pending == waiting)


def identity(number: float = 1.0, **fields: str) -> pb.ModelInferRequest:
    """A request whose answer is `number`, four times."""
    request = pb.ModelInferRequest(**{"model_name": "identity", **fields})
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(np.full(4, number, np.float32).tobytes())
    return request


def number_of(answer: pb.ModelInferResponse) -> float:
    """The number in an answer."""
    return float(np.frombuffer(answer.raw_output_contents[0], np.float32)[0])


@contextlib.contextmanager
def held_server(folder: Path, loopback: ServeOptions, options: GrpcOptions | None = None) -> Iterator[HeldServer]:
    """A held server; whatever it still holds at the end may run."""
    write_model(
        folder, "identity", onnx_models.identity(shape=(1, "M"))
    )  # of any length: no run of it is taken for quick
    write_model(folder, "free", onnx_models.identity(shape=("N", "M")))
    server = Server(Engine(folder), dataclasses.replace(loopback, grpc=options or GrpcOptions()))
    server.start()
    held = HeldServer(server)
    try:
        yield held
    finally:
        held.allow(100_000)
        server.shutdown()


@contextlib.contextmanager
def connected(held: HeldServer) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    """A stub on a connection of its own."""
    with grpc.insecure_channel(held.url, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)
