"""What the service and an engine of gRPC ask of each other.

The service knows messages and nothing of connections; an engine knows connections and takes messages for bytes. Everything here is
for the loop's thread alone.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tcli_server.errors import ServerError
from tcli_server.observability.access_entry import AccessEntry
from tcli_server.protocols.grpc.errors import as_server_error
from tcli_server.protocols.request_headers import NOTHING_ASKED, Asked

Message = bytes | memoryview
"""A view is of memory that nobody writes to any more."""

Parts = Sequence[Message]
"""A message, in the order of its bytes."""

Metadata = Iterable[tuple[str, str | bytes]]
"""Names in lower case, each with its value; those whose name ends with `-bin` are bytes."""


class UnaryCall(Protocol):
    """A call with one message each way. Whoever works on it answers it once; after `on_gone` nobody hears that any more.

    Attributes:
        asked: what the client sent ahead of its message asks for.
        on_gone: called at most once, if the client is gone, has cancelled it or its deadline has passed before the answer.
        access: its entry in the access log; None where there is none.
    """

    @property
    def asked(self) -> Asked: ...

    on_gone: Callable[[], object] | None

    @property
    def access(self) -> AccessEntry | None: ...

    @property
    def client(self) -> str:
        """The address and port of who is connected."""

    def respond(self, *parts: Message) -> None:
        """Answer with a message; what is in the memory of its parts must stay the same until they are let go of."""

    def fail(self, error: ServerError) -> None:
        """Answer with an error."""


class StreamCall(Protocol):
    """A call with any number of messages each way.

    Attributes:
        access: begins the entry of a message of so many bytes in the access log; None where there is none.
    """

    @property
    def access(self) -> Callable[[int], AccessEntry] | None: ...

    @property
    def client(self) -> str:
        """The address and port of who is connected."""

    @property
    def asked(self) -> Asked:
        """What the client sent ahead of its messages asks for."""

    async def read(self) -> Message | None:
        """The next message; None after the last one."""

    async def write(self, *parts: Message) -> None:
        """Send a message, as `UnaryCall.respond`; waits while the client takes none."""


Refused = Callable[[str, bytes, str], None]
"""Told of a call that was refused, or left, before anything of it began: the client, the path, and the name of the status."""

Unary = Callable[[Message, UnaryCall], None]
"""Begins to work on a request, or answers it at once; must not block. What it raises is a defect, and answered as one."""

Streaming = Callable[[StreamCall], Coroutine[Any, Any, ServerError | None]]
"""Serves a stream to its end, and returns the error to end it with. Cancelled where `UnaryCall.on_gone` would be called."""


@dataclass(frozen=True, slots=True)
class Rpcs:
    """What can be called, by path, such as `/inference.GRPCInferenceService/ModelInfer`.

    Attributes:
        read_metadata: tells what the client sent ahead of its messages asks for; nothing else of that is kept.
        even_at: where in a message, of which it is told the beginning, that begins which is best read from an even address.
        refused: told of what the engine refuses itself; None where nobody wants to know.
    """

    unary: Mapping[str, Unary]
    streaming: Mapping[str, Streaming]
    read_metadata: Callable[[Metadata], Asked] = lambda _: NOTHING_ASKED
    even_at: Callable[[Message], int] = lambda _: 0
    refused: Refused | None = None

    def __or__(self, other: "Rpcs") -> "Rpcs":
        unary, streaming = {**self.unary, **other.unary}, {**self.streaming, **other.streaming}
        return replace(self, unary=unary, streaming=streaming)


def begin_safely(begin: Unary, message: Message, call: UnaryCall) -> None:
    """Call it; a defect answers this call and leaves the connection usable."""
    try:
        begin(message, call)
    except Exception as error:
        call.fail(as_server_error(error, "a call"))
