"""gRPC's standard health service, by which Kubernetes and load balancers ask.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md. The service's name in a request does not matter, as in Triton.
"""

import asyncio
from collections.abc import Callable

from tcli_server.errors import InternalError, ServerError, UnavailableError
from tcli_server.protocols.grpc.admission import SHUTTING_DOWN
from tcli_server.protocols.grpc.rpc import Message, Rpcs, StreamCall, UnaryCall
from tcli_server.protocols.grpc.waking import wake

# HealthCheckResponse{status: SERVING} and {status: NOT_SERVING}: two bytes each, for which a package that pins the
# versions of grpcio and protobuf is too much.
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"

_LOOK_SECS = 0.2
"""How often it is looked whether the state has changed, while anybody watches it."""


class Health:
    """Answers whether inferences would be taken, and tells those who watch whenever that changes.

    Args:
        ready: whether they would; must not block.

    Attributes:
        rpcs: what can be called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ready: Callable[[], bool]) -> None:
        self._loop = loop
        self._ready = ready
        self._state = _NOT_SERVING
        self._waiting: set[asyncio.Future[None]] = set()  # of those who watch, for a change
        self._watchers = 0
        self._closed = self._left = self._looking = False
        service = "/grpc.health.v1.Health/"
        self.rpcs = Rpcs({service + "Check": self._check}, {service + "Watch": self._watch})

    def leave(self) -> None:
        """Let nobody watch from now on: whoever does would keep its connection open until it is cut off."""
        self._left = True
        self._tell()

    def close(self) -> None:
        """Not serving from now on; those who watch are told so, and their calls end."""
        self._closed = True
        self._look()

    def _now(self) -> bytes:
        return _SERVING if not self._closed and self._ready() else _NOT_SERVING

    def _check(self, _: Message, call: UnaryCall) -> None:
        call.respond(self._now())

    async def _watch(self, call: StreamCall) -> ServerError | None:
        if await call.read() is None:
            return InternalError("expected one message, found none")
        self._watchers += 1
        if not self._looking:
            self._look_again()
        told = b""
        try:
            while True:
                state = self._state
                if state != told:
                    await call.write(state)
                    told = state
                elif self._closed or self._left:
                    return UnavailableError(SHUTTING_DOWN)
                else:
                    await self._change()
        finally:
            self._watchers -= 1

    async def _change(self) -> None:
        waiting = self._loop.create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _look_again(self) -> None:
        """One look for all who watch, until nobody does."""
        self._looking = bool(self._watchers) and not self._closed
        if self._looking:
            self._look()
            self._loop.call_later(_LOOK_SECS, self._look_again)

    def _look(self) -> None:
        state = self._now()
        if state != self._state or self._closed:
            self._state = state
            self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, set()
        wake(list(waiting))
