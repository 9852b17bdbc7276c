"""How gRPC is served."""

from dataclasses import dataclass
from typing import Literal, get_args

from tcli_server.protocols.tls import TlsOptions

CompressionLevel = Literal["none", "low", "medium", "high"]
COMPRESSION_LEVELS: tuple[CompressionLevel, ...] = get_args(CompressionLevel)

EngineName = Literal["auto", "nghttp2", "aio"]

MAX_MESSAGE_BYTES = 2**31 - 1
"""Of one message, as in Triton."""

MAX_METADATA_BYTES = 16 << 10
"""Of the headers that a call may have."""

HANDSHAKE_SECS = 20.0
"""How long a new connection may take to speak HTTP/2."""


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """Triton's `--grpc-...` options with Triton's defaults; times in milliseconds, 0 for no limit of age.

    Attributes:
        engine: what speaks HTTP/2: `nghttp2` (several times as fast; needs ngh2), `aio` (grpc.aio), or `auto`: the first that is
            installed. Not an option of Triton's.
        tls: the files for TLS; None for connections that anybody on the way can read.
        reflection: clients are told what can be called. Not an option of Triton's, which has no reflection.
        header_forward_pattern: of metadata that models get as request parameters, a regular expression that is found anywhere in the
            name; empty for none.
        infer_response_compression_level: of responses, in a coding that the client takes; gRPC chooses gzip or deflate.
        keepalive_time: a silent connection is pinged after so long; likewise keepalive_timeout for the answer.
        http2_min_recv_ping_interval_without_data: pings that come faster are strikes, after `http2_max_ping_strikes` of
            which the connection is closed.
        max_pending_calls: inferences that may be under way at once, on all connections; those above it are answered
            UNAVAILABLE. Not an option of Triton's, as little as `max_connections`, above which nobody is let in.
    """

    engine: EngineName = "auto"
    tls: TlsOptions | None = None
    reflection: bool = False
    header_forward_pattern: str = ""
    infer_response_compression_level: CompressionLevel = "none"
    keepalive_time: int = 7_200_000
    keepalive_timeout: int = 20_000
    keepalive_permit_without_calls: bool = False
    http2_max_pings_without_data: int = 2
    http2_min_recv_ping_interval_without_data: int = 300_000
    http2_max_ping_strikes: int = 2
    max_connection_age: int = 0
    max_connection_age_grace: int = 0
    max_pending_calls: int = 50_000
    max_connections: int = 10_000
