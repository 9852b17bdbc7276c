"""Which pings a connection sends, and how many it takes: gRPC's keepalive, with its words for the limits.

Source: https://github.com/grpc/grpc/blob/master/doc/keepalive.md
"""

from enum import Enum, auto

from tcli_server.protocols.grpc.options import GrpcOptions

_WITHOUT_CALLS_SECS = 7200.0
"""How far pings have to be apart where there are no calls, and `keepalive_permit_without_calls` does not say that they may."""


class Due(Enum):
    """What is to be done about a connection."""

    NOTHING = auto()
    PING = auto()
    CLOSE = auto()


class Pings:
    """Of one connection; times are of `time.monotonic()`, in seconds."""

    __slots__ = ("_asked", "_heard", "_last", "_options", "_sent", "_strikes")

    def __init__(self, options: GrpcOptions, now: float) -> None:
        self._options = options
        self._heard = now
        self._asked: float | None = None  # when a ping was sent that is not answered
        self._sent = 0  # pings in a row without any data
        self._last: float | None = None  # when the client's last ping came, if nothing was sent since
        self._strikes = 0

    def heard(self, now: float) -> None:
        """Something came from the client."""
        self._heard = now
        self._asked = None

    def sent_data(self) -> None:
        """Headers or data went to the client: that excuses its pings, and ours."""
        self._sent = self._strikes = 0
        self._last = None

    def is_too_many(self, now: float, has_calls: bool) -> bool:
        """Whether the client's ping that came now is one too many."""
        options = self._options
        apart = options.http2_min_recv_ping_interval_without_data / 1e3
        if not has_calls and not options.keepalive_permit_without_calls:
            apart = max(apart, _WITHOUT_CALLS_SECS)
        if self._last is not None and now - self._last < apart:
            self._strikes += 1
        self._last = now
        return options.http2_max_ping_strikes > 0 and self._strikes > options.http2_max_ping_strikes

    def due(self, now: float, has_calls: bool) -> Due:
        """To be asked about once a second."""
        options = self._options
        if self._asked is not None:
            return Due.CLOSE if now - self._asked > options.keepalive_timeout / 1e3 else Due.NOTHING
        if now - self._heard < options.keepalive_time / 1e3 or not (
            has_calls or options.keepalive_permit_without_calls
        ):
            return Due.NOTHING
        if options.http2_max_pings_without_data and self._sent >= options.http2_max_pings_without_data:
            return Due.NOTHING
        self._sent += 1
        self._asked = now
        return Due.PING
