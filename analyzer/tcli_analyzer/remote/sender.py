"""How requests get to a server: the interface that the HTTP and the gRPC sender share."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from tcli_analyzer.target import OnReply


class Sender(Protocol):
    """Sends prepared requests to one model and tells when each was answered.

    All but `prepare` is called in the thread of the event loop.
    """

    def prepare(self, inputs: Mapping[str, np.ndarray]) -> bytes:
        """The whole request as it goes to the server; may be called in any thread.

        Raises:
            ServerError: a tensor cannot be sent like this.
        """

    def send(self, request: bytes, reply: OnReply) -> None:
        """Send one; `reply` is called exactly once, in this thread, later."""

    async def close(self) -> None:
        """Give back all connections; what is not answered by then gets an error."""
