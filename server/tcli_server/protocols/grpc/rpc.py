"""What the service and an engine of gRPC ask of each other.

The service knows messages and nothing of connections; an engine knows connections and takes messages for bytes. Everything here is
for the loop's thread alone.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tcli_server.errors import ServerError
from tcli_server.protocols.grpc.errors import as_server_error

Metadata = Iterable[tuple[str, str | bytes]]
"""Names in lower case, each with its value; those whose name ends with `-bin` are bytes."""


class UnaryCall(Protocol):
    """A call with one message each way. Whoever works on it answers it once; after `on_gone` nobody hears that any more.

    Attributes:
        on_gone: called at most once, if the client is gone, has cancelled it or its deadline has passed before the answer.
    """

    on_gone: Callable[[], object] | None

    def respond(self, message: bytes) -> None:
        """Answer with a message."""

    def fail(self, error: ServerError) -> None:
        """Answer with an error."""


class StreamCall(Protocol):
    """A call with any number of messages each way."""

    @property
    def metadata(self) -> Metadata:
        """What the client sent ahead of its messages."""

    async def read(self) -> bytes | None:
        """The next message; None after the last one."""

    async def write(self, message: bytes) -> None:
        """Send a message; waits while the client takes none."""


Unary = Callable[[bytes, UnaryCall], None]
"""Begins to work on a request, or answers it at once; must not block. What it raises is a defect, and answered as one."""

Streaming = Callable[[StreamCall], Coroutine[Any, Any, ServerError | None]]
"""Serves a stream to its end, and returns the error to end it with. Cancelled where `UnaryCall.on_gone` would be called."""


@dataclass(frozen=True, slots=True)
class Rpcs:
    """What can be called, by path, such as `/inference.GRPCInferenceService/ModelInfer`."""

    unary: Mapping[str, Unary]
    streaming: Mapping[str, Streaming]

    def __or__(self, other: "Rpcs") -> "Rpcs":
        return Rpcs({**self.unary, **other.unary}, {**self.streaming, **other.streaming})


def begin_safely(begin: Unary, message: bytes, call: UnaryCall) -> None:
    """Call it; a defect answers this call and leaves the connection usable."""
    try:
        begin(message, call)
    except Exception as error:
        call.fail(as_server_error(error, "a call"))
