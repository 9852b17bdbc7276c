"""Listens for gRPC connections."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, get_args

import grpc
import grpc.aio

from tcli_server.engine import Engine
from tcli_server.protocols.grpc.admission import Admission
from tcli_server.protocols.grpc.infer import Inference
from tcli_server.protocols.grpc.service import Service

_INT32_MAX = 2**31 - 1

_HANDSHAKE_MS = 20_000
"""How long a new connection may take to speak HTTP/2."""

_METADATA = 16 << 10
"""Bytes of headers that a call may have."""

CompressionLevel = Literal["none", "low", "medium", "high"]

_COMPRESSION_LEVELS: tuple[CompressionLevel, ...] = get_args(CompressionLevel)


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """Triton's `--grpc-...` options with Triton's defaults; times in milliseconds, 0 for no limit of age.

    Attributes:
        infer_response_compression_level: of responses, in a coding that the client takes; gRPC chooses gzip or deflate.
        keepalive_time: a silent connection is pinged after so long; likewise keepalive_timeout for the answer.
        http2_min_recv_ping_interval_without_data: pings that come faster are strikes, after `http2_max_ping_strikes` of
            which the connection is closed.
        max_pending_calls: inferences that may be under way at once, on all connections; those above it are answered
            UNAVAILABLE. Not an option of Triton's, as little as `max_connections`, above which nobody is let in.
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
    max_pending_calls: int = 50_000
    max_connections: int = 10_000

    def channel_arguments(self) -> list[tuple[str, int]]:
        """The options in gRPC's words."""
        arguments = [
            ("grpc.max_send_message_length", _INT32_MAX),
            ("grpc.max_receive_message_length", _INT32_MAX),
            # gRPC would answer CANCELLED, without telling us, from the thousandth call that waits for this process, or after
            # 30 s of waiting; what is too much is for `Admission` to say.
            ("grpc.server.max_pending_requests", _INT32_MAX),
            ("grpc.server.max_pending_requests_hard_limit", _INT32_MAX),
            ("grpc.server_max_unrequested_time_in_server", _INT32_MAX),
            # A call that has not sent its message yet is one that only gRPC can count.
            ("grpc.max_concurrent_streams", self.max_pending_calls),
            ("grpc.max_allowed_incoming_connections", self.max_connections),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
            ("grpc.max_metadata_size", _METADATA),
            ("grpc.absolute_max_metadata_size", _METADATA),
            ("grpc.so_reuseport", 0),  # a port that another program listens on is an error, not a shared port
            # Not a call's own setting, which grpc.aio forgets where nothing but the answer is sent.
            ("grpc.default_compression_level", _COMPRESSION_LEVELS.index(self.infer_response_compression_level)),
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
        self,
        server: grpc.aio.Server,
        port: int,
        inference: Inference,
        service: Service,
        admission: Admission,
        pools: Sequence[ThreadPoolExecutor],
    ) -> None:
        self._server = server
        self._inference = inference
        self._service = service
        self._admission = admission
        self._pools = pools
        self.port = port

    async def drain(self, timeout: float) -> bool:
        """Take no more inferences and let what is under way finish for `timeout` seconds, then cut it off.

        From now on inferences are answered UNAVAILABLE and health NOT_SERVING.

        Returns:
            True if nothing had to be cut off.
        """
        self._inference.close()
        self._service.close()
        answered = await self._admission.drained(timeout)
        if not answered:
            await self._server.stop(None)
        return answered

    async def close(self, timeout: float) -> bool:
        """Close the port, and connections as soon as the answers are sent, at most `timeout` seconds from now.

        Returns:
            True if everything was sent.
        """
        deadline = time.monotonic() + timeout
        await self._server.stop(timeout)
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        return not timeout or time.monotonic() < deadline


async def start_grpc(engine: Engine, host: str, port: int, options: GrpcOptions | None = None) -> GrpcServer:
    """Serve an engine over gRPC in the running loop; port 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    options = options or GrpcOptions()
    # Strings and typed contents of large tensors; two threads, as they compete with the models for the same cores.
    pool = ThreadPoolExecutor(2, "grpc")
    # What grows with the number of models; a thread apart, lest it wait for somebody's large tensors.
    status_pool = ThreadPoolExecutor(1, "grpc-status")
    admission = Admission(options.max_pending_calls, engine.max_pending_bytes)
    server = grpc.aio.server(options=options.channel_arguments())
    inference = Inference(engine, asyncio.get_running_loop(), pool, admission)
    service = Service(engine, status_pool, admission)
    server.add_generic_rpc_handlers(service.handlers(inference))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from None
    await server.start()
    return GrpcServer(server, bound, inference, service, admission, (pool, status_pool))
