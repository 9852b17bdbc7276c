"""What one client may cost: time, bytes and connections."""

from dataclasses import dataclass

from tcli_server.hardware.descriptors import usable_descriptors

MAX_HEAD_BYTES = 1 << 16
"""Request line and headers together; also what a chunked body may have in chunk extensions and trailers."""

MAX_HEADERS = 256
"""Header lines of one request."""

MAX_CHUNKS = 65536
"""Non-empty chunks of a request body, as Triton limits them."""

MAX_WAITING = 8
"""Whole requests of one connection that may wait behind the one that is being answered."""

MAX_READ_AHEAD = 1 << 18
"""Bytes of request bodies that one connection may have sent ahead of the request that is being answered."""

_DESCRIPTOR_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of the HTTP port, each an option of `tcli serve` (`--http-head-timeout-secs` and so on).

    Time is looked at about once a second, so a limit may be exceeded by that much.

    Attributes:
        head_timeout_secs: from the first byte of a request to the end of its headers; then 408, and the connection closes.
        body_timeout_secs: without a byte of a body that is due; then 408, and the connection closes.
        idle_timeout_secs: a kept-alive connection without a request, or one whose client takes no byte of its answer;
            then it closes without a word.
        max_body_size: bytes of a request's body as it is sent, binary tensors included; above, 413.
        max_connections: open at the same time; above, 503. Never more than three quarters of the descriptors that the
            process may open.
    """

    head_timeout_secs: float = 30
    body_timeout_secs: float = 30
    idle_timeout_secs: float = 75
    max_body_size: int = 2 << 30
    max_connections: int = 4096

    def connections(self) -> int:
        """How many connections may be open at once, on this machine."""
        return min(self.max_connections, max(1, int(usable_descriptors() * _DESCRIPTOR_SHARE)))

    def sweep_secs(self) -> float:
        """How often to look at the connections, for these limits to mean something."""
        shortest = min(self.head_timeout_secs, self.body_timeout_secs, self.idle_timeout_secs)
        return min(1.0, max(0.01, shortest / 4))
