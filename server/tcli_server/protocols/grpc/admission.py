"""How many calls, and how much of them, one gRPC server takes on at once."""

import asyncio
import contextlib
from collections.abc import Iterator

from tcli_server.errors import UnavailableError

SHUTTING_DOWN = "GRPC server is shutting down and has stopped accepting new requests."


class Admission:
    """Counts what is under way, refuses what is too much, and tells when nothing is left; for the loop's thread alone.

    Args:
        most_calls: inferences under way at once; those of a stream count one by one.
        most_bytes: bytes of messages that may wait to be read together; one is always taken if no other waits.

    Attributes:
        closed: no more inferences are taken.
    """

    def __init__(self, most_calls: int, most_bytes: int) -> None:
        self.closed = False
        self._most_calls = most_calls
        self._most_bytes = most_bytes
        self._calls = 0
        self._bytes = 0
        self._none_left = asyncio.Event()
        self._none_left.set()

    def admit(self) -> None:
        """Take on one inference, which `leave` ends.

        Raises:
            UnavailableError: the server is shutting down, or too much is under way.
        """
        if self.closed:
            raise UnavailableError(SHUTTING_DOWN)
        if self._calls >= self._most_calls:
            raise UnavailableError(
                f"{self._calls} calls are under way already, which is the most that this server takes: try again later"
            )
        self.enter()

    def enter(self) -> None:
        """Count a call that is taken in any case."""
        self._calls += 1
        if self._calls == 1:
            self._none_left.clear()

    def leave(self) -> None:
        """A call has ended."""
        self._calls -= 1
        if not self._calls:
            self._none_left.set()

    def hold(self, size: int) -> None:
        """Hold a message of this many bytes until `let_go`.

        Raises:
            UnavailableError: too many bytes wait to be read.
        """
        if self._bytes and self._bytes + size > self._most_bytes:
            raise UnavailableError(
                f"requests that wait hold {self._bytes} bytes already, of {self._most_bytes} (--max-pending-bytes); "
                f"this one has {size}: try again later"
            )
        self._bytes += size

    def let_go(self, size: int) -> None:
        """Nothing of a message is held any more."""
        self._bytes -= size

    @contextlib.contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """`hold` and `let_go`."""
        self.hold(size)
        try:
            yield
        finally:
            self.let_go(size)

    async def drained(self, timeout: float) -> bool:
        """Wait until nothing is under way; True if that happened in `timeout` seconds."""
        if self._calls and timeout > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_left.wait(), timeout)
        return not self._calls
