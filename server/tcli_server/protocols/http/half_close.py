"""A client that has ended its input: is it still there for its answer, or gone?

TCP tells only that nothing more comes, which is the same for both. But the system of a client that is gone answers
whatever still reaches it with a reset. So such a client is sent `100 Continue`, which every client of HTTP/1.1 has to
pass over, also if it has not asked for it (RFC 9110, 15.2.1).
"""

import asyncio
import contextlib
import socket

WAIT_SECS = 0.05
"""After an end of input: what is still worked on then is told that the client may be gone."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_LONGEST_SECS = 1.0


def next_look(seconds: float) -> float:
    """How long to wait for a reset once more: it comes after one round trip, or after whatever is sent later."""
    return min(2 * seconds, _LONGEST_SECS)


def was_reset(transport: asyncio.Transport) -> bool:
    """Whether the client's system has said that nobody is there; an event loop that reads no more does not see that."""
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # closed meanwhile: the loop tells
        return connection is not None and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    return False
