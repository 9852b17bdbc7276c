"""Error kinds as HTTP statuses."""

import orjson

from tcli_server.errors import ErrorKind, ServerError
from tcli_server.protocols.texts import answerable

_LONGEST = 10_000

STATUS = {
    ErrorKind.INVALID_ARG: 400,
    ErrorKind.ALREADY_EXISTS: 400,
    ErrorKind.CANCELLED: 400,
    ErrorKind.UNKNOWN: 400,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.INTERNAL: 500,
    ErrorKind.UNSUPPORTED: 501,
    ErrorKind.UNAVAILABLE: 503,
}
"""As Triton's HTTP server maps them; there is no 429, a full queue is 503."""


def error_body(message: str) -> bytes:
    """The body of every error reply; takes any text, and shows what nobody could read as escapes."""
    return orjson.dumps({"error": answerable(message, _LONGEST)})


def status_and_body(error: ServerError) -> tuple[int, bytes]:
    """How an error is answered."""
    return STATUS[error.kind], error_body(str(error))
