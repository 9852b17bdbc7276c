"""Error kinds as gRPC status codes, and what a client is told of an error."""

from itertools import accumulate

import grpc

from tcli_server.errors import ErrorKind, InternalError, ServerError
from tcli_server.observability.log import LOG
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


def as_server_error(error: Exception, rpc: str) -> ServerError:
    """An error as the client hears of it; a defect, which must leave the server running, goes to the log."""
    if isinstance(error, ServerError):
        return error
    LOG.error("%s failed", rpc, exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")


def status_and_details(error: ServerError) -> tuple[grpc.StatusCode, str]:
    """How an error is answered: as a text that any client gets, whatever is in it."""
    return STATUS[error.kind], details(str(error))


def details(message: str) -> str:
    """A message as a status can carry it."""
    text = answerable(message, _LONGEST)
    fits = sum(1 for size in accumulate(map(_encoded_size, text)) if size <= _LONGEST_ENCODED)
    return text if fits == len(text) else f"{text[:fits]}..."


def _encoded_size(character: str) -> int:
    plain = " " <= character <= "~" and character != "%"
    return 1 if plain else 3 * len(character.encode())
