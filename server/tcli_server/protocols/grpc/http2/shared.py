"""What all connections of one server share."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tcli_server.hardware.descriptors import usable_descriptors
from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.grpc.guard import GrpcGuard
from tcli_server.protocols.grpc.http2.head import HeadReader
from tcli_server.protocols.grpc.http2.messages import CODINGS
from tcli_server.protocols.grpc.options import MAX_MESSAGE_BYTES, GrpcOptions
from tcli_server.protocols.grpc.rpc import Rpcs

if TYPE_CHECKING:
    from tcli_server.protocols.grpc.http2.connection import Connection

_ARRIVALS = 1 << 18
_DESCRIPTOR_SHARE = 0.75
_CALL_BYTES = 1 << 14
"""That an open call may take: a stream of inferences that waits was seen to take 15.4 KiB, one of health 4.4."""

_MOST_OPEN = 100_000
"""Open calls: Python's garbage collector looks at all that they are made of, and everybody waits for it."""

_LEAST_UNSENT = 64 << 20


class Shared:
    """See above.

    Args:
        memory: bytes that all calls may hold together.

    Attributes:
        even_at, refused: as those of `Rpcs`.
        pool: compresses and decompresses what is large.
        budget: bytes of messages that all calls hold together.
        most_open: calls that all connections may have open together: they are no messages yet, which `budget` counts.
        most_unsent: bytes of answers that one client may leave unread before its calls are refused.
        arrivals: what comes is read to here, and taken from here at once.
        draining: connections are to end as soon as their calls have.
    """

    def __init__(self, rpcs: Rpcs, options: GrpcOptions, memory: int, guard: GrpcGuard | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.options = options
        self.heads = HeadReader(rpcs, guard)
        self.even_at = rpcs.even_at
        self.refused = rpcs.refused
        self.pool = ThreadPoolExecutor(1, "grpc-codings")
        self.budget = ByteBudget(memory)
        self.largest_decompressed = min(MAX_MESSAGE_BYTES, memory)
        self.most_open = min(max(_MOST_OPEN, 2 * options.max_pending_calls), memory // _CALL_BYTES)
        self.most_unsent = max(_LEAST_UNSENT, memory // 4)
        self.max_connections = min(options.max_connections, max(1, int(usable_descriptors() * _DESCRIPTOR_SHARE)))
        self.connections: set[Connection] = set()
        self.arrivals = memoryview(bytearray(_ARRIVALS))
        self.draining = False

    def response_coding(self, accepted: frozenset[str]) -> str:
        """In which answers to a client go; empty for none."""
        if self.options.infer_response_compression_level == "none":
            return ""
        return next((coding for coding in CODINGS if coding in accepted), "")
