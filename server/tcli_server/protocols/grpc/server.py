"""A gRPC server: the service, and the engine that brings calls to it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from tcli_server.engine import Engine
from tcli_server.errors import UnavailableError
from tcli_server.observability.access_log import AccessLog
from tcli_server.protocols.grpc.access import logged
from tcli_server.protocols.grpc.admission import Admission
from tcli_server.protocols.grpc.guard import GrpcGuard
from tcli_server.protocols.grpc.health import Health
from tcli_server.protocols.grpc.infer import Inference
from tcli_server.protocols.grpc.options import EngineName, GrpcOptions
from tcli_server.protocols.grpc.rpc import Rpcs
from tcli_server.protocols.grpc.service import Service
from tcli_server.protocols.request_headers import RequestHeaders
from tcli_server.protocols.shared_memory import NO_SHARED_MEMORY, SystemSharedMemory
from tcli_server.protocols.tls import Certificates

if TYPE_CHECKING:
    from tcli_server.protocols.grpc.reflection import Reflection


class Listener(Protocol):
    """What an engine opens: a port, and the connections made to it.

    Attributes:
        port: the port that it listens on.
    """

    port: int

    async def abort(self) -> None:
        """Cut off every call."""

    async def close(self, timeout: float) -> bool:
        """Close the port, and connections as soon as the answers are sent, at most `timeout` seconds from now.

        Returns:
            True if everything was sent.
        """


Listen = Callable[
    [Rpcs, str, int, GrpcOptions, bool, GrpcGuard | None, Certificates | None], Coroutine[Any, Any, Listener]
]
"""Opens a port; the last arguments: whether other processes listen on it, too, who may call what, and TLS."""


class GrpcServer:
    """A listening gRPC server.

    Attributes:
        port: the port that it listens on.
    """

    def __init__(
        self,
        listener: Listener,
        inference: Inference,
        service: Service,
        health: Health,
        reflection: "Reflection | None",
        admission: Admission,
        pools: Sequence[ThreadPoolExecutor],
    ) -> None:
        self._listener = listener
        self._inference = inference
        self._service = service
        self._health = health
        self._reflection = reflection
        self._admission = admission
        self._pools = pools
        self.port = listener.port

    async def leave(self, timeout: float) -> bool:
        """Accept no more connections, and close those that there are as soon as their calls have ended. Those that
        would go on for as long as their clients like are ended: of health and reflection at once, streams of inferences when
        they have nothing under way, no sequence open, and nothing comes for a moment.

        Args:
            timeout: seconds after which calls are cut off.

        Returns:
            True if none had to be.
        """
        self._health.leave()
        if self._reflection is not None:
            self._reflection.close()
        ending = asyncio.create_task(self._inference.end_idle_streams())
        try:
            return await self._listener.close(timeout)
        finally:
            ending.cancel()

    async def drain(self, timeout: float) -> bool:
        """Take no more inferences and let what is under way finish for `timeout` seconds, then cut it off.

        From now on inferences are answered UNAVAILABLE and health NOT_SERVING.

        Returns:
            True if nothing had to be cut off.
        """
        self._inference.close()
        self._service.close()
        self._health.close()
        if self._reflection is not None:
            self._reflection.close()
        answered = await self._admission.drained(timeout)
        if not answered:
            await self._listener.abort()
        return answered

    async def close(self, timeout: float) -> bool:
        """Close the port, and connections as soon as the answers are sent, at most `timeout` seconds from now.

        Returns:
            True if everything was sent.
        """
        sent = await self._listener.close(timeout)
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        return sent


async def start_grpc(
    engine: Engine,
    host: str,
    port: int,
    options: GrpcOptions | None = None,
    *,
    reuse_port: bool = False,
    shared: SystemSharedMemory = NO_SHARED_MEMORY,
    access: AccessLog | None = None,
    guard: GrpcGuard | None = None,
    certificates: Certificates | None = None,
) -> GrpcServer:
    """Serve an engine over gRPC in the running loop; port 0 takes a free one.

    Args:
        reuse_port: other processes listen on it, too.
        shared: the memory that clients share with this server.
        access: notes all calls; None where nobody does.
        guard: who may call what; None where everybody may call everything.
        certificates: for TLS; None for connections that anybody on the way can read.

    Raises:
        OSError: the address cannot be bound.
        UnavailableError: the engine is not installed.
        InvalidArgumentError: the pattern of metadata that models get is none.
    """
    options = options or GrpcOptions()
    listen = _engine(options.engine)
    # Strings and typed contents of large tensors; two threads, as they compete with the models for the same cores.
    pool = ThreadPoolExecutor(2, "grpc")
    # What grows with the number of models; a thread apart, lest it wait for somebody's large tensors.
    status_pool = ThreadPoolExecutor(1, "grpc-status")
    admission = Admission(options.max_pending_calls, engine.max_pending_bytes)
    headers = RequestHeaders(options.header_forward_pattern, "grpc_header_forward_pattern")
    inference = Inference(engine, asyncio.get_running_loop(), pool, admission, shared, headers)
    service = Service(engine, status_pool, admission, shared)
    health = Health(asyncio.get_running_loop(), engine.ready)
    reflection = _reflection() if options.reflection else None
    rpcs = service.rpcs(inference) | health.rpcs
    if reflection is not None:
        rpcs |= reflection.rpcs
    rpcs = rpcs if access is None else logged(rpcs, access)
    listener = await listen(rpcs, host, port, options, reuse_port, guard, certificates)
    return GrpcServer(listener, inference, service, health, reflection, admission, (pool, status_pool))


def _reflection() -> "Reflection":
    from tcli_server.protocols.grpc.reflection import Reflection  # reads all that is described, for the few who ask

    return Reflection()


def check_engine(name: EngineName) -> None:
    """Whether it can be had.

    Raises:
        UnavailableError: it is not installed.
    """
    if name == "nghttp2" and find_spec("ngh2") is None:
        raise UnavailableError(
            "grpc_engine nghttp2 needs ngh2, which is not installed; fix: pip install ngh2, or grpc_engine aio"
        )


def _engine(name: EngineName) -> Listen:
    """The chosen one is imported when it is needed: neither needs the other's library.

    Raises:
        UnavailableError: it is not installed.
    """
    check_engine(name)
    if name == "nghttp2" or (name == "auto" and find_spec("ngh2") is not None):
        from tcli_server.protocols.grpc import nghttp2_impl

        return nghttp2_impl.listen
    from tcli_server.protocols.grpc import aio_impl

    return aio_impl.listen
