"""What all connections of one server share."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tcli_server.observability.access_log import AccessLog
from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.http.exchange import Handler
from tcli_server.protocols.http.guard import HttpGuard
from tcli_server.protocols.http.limits import HttpLimits

if TYPE_CHECKING:
    from tcli_server.protocols.http.connection import Connection

_ARRIVALS = 1 << 18


@dataclass(slots=True)
class Shared:
    """See above.

    Attributes:
        turned_away: status and message for every request on a new connection, while the server drains.
        access: notes all requests; None where nobody does.
        leaving: other processes go on serving this port: a connection closes with its next answer.
        guard: who may ask what; None where everybody may ask everything.
        arrivals: what comes is read to here, and taken from here at once.
    """

    handler: Handler
    limits: HttpLimits
    budget: ByteBudget
    max_connections: int
    access: AccessLog | None = None
    guard: HttpGuard | None = None
    connections: "set[Connection]" = field(default_factory=set)
    turned_away: tuple[int, str] | None = None
    leaving: bool = False
    arrivals: memoryview = field(default_factory=lambda: memoryview(bytearray(_ARRIVALS)))
