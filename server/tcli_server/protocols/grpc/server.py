"""Listens for gRPC connections."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import grpc
import grpc.aio

from tcli_server.engine import Engine
from tcli_server.protocols.grpc.infer import Inference
from tcli_server.protocols.grpc.service import Service

_INT32_MAX = 2**31 - 1

CompressionLevel = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """Triton's `--grpc-...` options with Triton's defaults; times in milliseconds, 0 for no limit of age.

    Attributes:
        infer_response_compression_level: of inference responses; gzip at every level but `none`.
        keepalive_time: a silent connection is pinged after so long; likewise keepalive_timeout for the answer.
        http2_min_recv_ping_interval_without_data: pings that come faster are strikes, after `http2_max_ping_strikes` of
            which the connection is closed.
    """

    infer_response_compression_level: CompressionLevel = "none"
    keepalive_time: int = 7_200_000
    keepalive_timeout: int = 20_000
    keepalive_permit_without_calls: bool = False
    http2_max_pings_without_data: int = 2
    http2_min_recv_ping_interval_without_data: int = 300_000
    http2_max_ping_strikes: int = 2
    max_connection_age: int = 0
    max_connection_age_grace: int = 0

    @property
    def compression(self) -> grpc.Compression:
        """For responses to inferences."""
        none = self.infer_response_compression_level == "none"
        return grpc.Compression.NoCompression if none else grpc.Compression.Gzip

    def channel_arguments(self) -> list[tuple[str, int]]:
        """The options in gRPC's words."""
        arguments = [
            ("grpc.max_send_message_length", _INT32_MAX),
            ("grpc.max_receive_message_length", _INT32_MAX),
            ("grpc.so_reuseport", 0),  # a port that another program listens on is an error, not a shared port
            ("grpc.keepalive_time_ms", self.keepalive_time),
            ("grpc.keepalive_timeout_ms", self.keepalive_timeout),
            ("grpc.keepalive_permit_without_calls", int(self.keepalive_permit_without_calls)),
            ("grpc.http2.max_pings_without_data", self.http2_max_pings_without_data),
            ("grpc.http2.min_ping_interval_without_data_ms", self.http2_min_recv_ping_interval_without_data),
            ("grpc.http2.max_ping_strikes", self.http2_max_ping_strikes),
        ]
        if self.max_connection_age:
            arguments.append(("grpc.max_connection_age_ms", self.max_connection_age))
        if self.max_connection_age_grace:
            arguments.append(("grpc.max_connection_age_grace_ms", self.max_connection_age_grace))
        return arguments


_END_STREAMS_SECS = 0.1


class GrpcServer:
    """A listening gRPC server.

    Attributes:
        port: the port that it listens on.
    """

    def __init__(
        self, server: grpc.aio.Server, inference: Inference, port: int, pools: tuple[ThreadPoolExecutor, ...]
    ) -> None:
        self._server = server
        self._inference = inference
        self._pools = pools
        self.port = port

    async def stop(self, grace: float) -> bool:
        """Accept nothing more, let what is under way finish for `grace` seconds, then cut it off.

        Returns:
            True if nothing had to be cut off.
        """
        start = time.monotonic()
        stopping = asyncio.ensure_future(self._server.stop(grace))
        while not stopping.done():
            self._inference.end_streams()
            await asyncio.wait((stopping,), timeout=_END_STREAMS_SECS)
        await stopping
        for pool in self._pools:
            pool.shutdown(wait=False)
        return time.monotonic() - start < grace


async def start_grpc(engine: Engine, host: str, port: int, options: GrpcOptions | None = None) -> GrpcServer:
    """Serve an engine over gRPC in the running loop; port 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    options = options or GrpcOptions()
    # Strings and typed contents of large tensors; two threads, as they compete with the models for the same cores.
    pool = ThreadPoolExecutor(2, "grpc")
    # Answers that grow with the number of models; a thread apart, lest they wait for somebody's large tensors.
    status_pool = ThreadPoolExecutor(1, "grpc-status")
    # Reading load requests, which can carry whole models; loading itself is the engine's.
    control_pool = ThreadPoolExecutor(1, "grpc-control")
    server = grpc.aio.server(options=options.channel_arguments())
    inference = Inference(engine, asyncio.get_running_loop(), pool, options.compression)
    server.add_generic_rpc_handlers(Service(engine, status_pool, control_pool).handlers(inference))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from None
    await server.start()
    return GrpcServer(server, inference, bound, (pool, status_pool, control_pool))
