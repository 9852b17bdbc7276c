"""Error kinds as gRPC status codes."""

from itertools import accumulate

import grpc

from tcli_server.errors import ErrorKind, ServerError
from tcli_server.protocols.texts import answerable

_LONGEST = 4000
_LONGEST_ENCODED = 6000
"""gRPC sends a text as a header, percent-encoded, and a client refuses headers of more than 8 KiB altogether."""

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


def status_and_details(error: ServerError) -> tuple[grpc.StatusCode, str]:
    """How an error is answered: as a text that any client gets, whatever is in it."""
    return STATUS[error.kind], details(str(error))


def details(message: str) -> str:
    """A message as a status can carry it."""
    text = answerable(message, _LONGEST)
    if text.isascii():
        return text
    sizes = accumulate(1 if character.isascii() else 3 * len(character.encode()) for character in text)
    fits = sum(1 for size in sizes if size <= _LONGEST_ENCODED)
    return text if fits == len(text) else f"{text[:fits]}..."
