"""Error kinds as gRPC status codes, and what a client is told of an error."""

from enum import IntEnum
from itertools import accumulate

from tcli_server.errors import ErrorKind, InternalError, ServerError
from tcli_server.observability.log import LOG
from tcli_server.protocols.texts import answerable

_LONGEST = 4000
_LONGEST_ENCODED = 6000
"""gRPC sends a text as a header, percent-encoded, and a client refuses headers of more than 8 KiB altogether."""


class Status(IntEnum):
    """Those of gRPC's status codes that are answered.

    Source: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
    """

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


STATUS = {
    ErrorKind.UNKNOWN: Status.UNKNOWN,
    ErrorKind.INTERNAL: Status.INTERNAL,
    ErrorKind.NOT_FOUND: Status.NOT_FOUND,
    ErrorKind.INVALID_ARG: Status.INVALID_ARGUMENT,
    ErrorKind.UNAVAILABLE: Status.UNAVAILABLE,
    ErrorKind.UNSUPPORTED: Status.UNIMPLEMENTED,
    ErrorKind.ALREADY_EXISTS: Status.ALREADY_EXISTS,
    ErrorKind.CANCELLED: Status.CANCELLED,
}
"""As Triton's gRPC server maps them."""

RETRY_METADATA = (("grpc-retry-pushback-ms", "1000"),)
"""Behind UNAVAILABLE: a client whose channel has a retry policy asks again then, as HTTP's clients by Retry-After.

Source: https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback
"""


def as_server_error(error: Exception, rpc: str) -> ServerError:
    """An error as the client hears of it; a defect, which must leave the server running, goes to the log."""
    if isinstance(error, ServerError):
        return error
    LOG.error("%s failed", rpc, exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")


def status_and_details(error: ServerError) -> tuple[Status, str]:
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
