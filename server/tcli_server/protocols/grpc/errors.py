"""Error kinds as gRPC status codes."""

import grpc

from tcli_server.errors import ErrorKind

STATUS = {
    ErrorKind.UNKNOWN: grpc.StatusCode.UNKNOWN,
    ErrorKind.INTERNAL: grpc.StatusCode.INTERNAL,
    ErrorKind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorKind.INVALID_ARG: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorKind.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    ErrorKind.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    ErrorKind.CANCELLED: grpc.StatusCode.CANCELLED,
}
"""As Triton's gRPC server maps them."""

_LONGEST = 4096


def printable(message: str) -> str:
    """A status text that HTTP/2 can carry: valid UTF-8, and not larger than a header may be."""
    return message[:_LONGEST].encode("utf-8", "replace").decode()
