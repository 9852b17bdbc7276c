"""What went wrong between here and a server, as the errors that a load ends with."""

from tcli_client import (
    AnswerError,
    ClientError,
    InvalidRequestError,
    NotFoundError,
    RequestTimeoutError,
    ServerUnreachableError,
    UnavailableError,
    UnsupportedError,
)
from tcli_server.errors import ErrorKind, ServerError, error_of_kind

_KINDS: tuple[tuple[type[ClientError], ErrorKind], ...] = (
    (NotFoundError, ErrorKind.NOT_FOUND),
    (InvalidRequestError, ErrorKind.INVALID_ARG),
    (UnsupportedError, ErrorKind.UNSUPPORTED),
    (UnavailableError, ErrorKind.UNAVAILABLE),
    (ServerUnreachableError, ErrorKind.UNAVAILABLE),
    (RequestTimeoutError, ErrorKind.UNAVAILABLE),
)

_STATUS: dict[int, ErrorKind] = {
    400: ErrorKind.INVALID_ARG,
    404: ErrorKind.NOT_FOUND,
    409: ErrorKind.ALREADY_EXISTS,
    499: ErrorKind.CANCELLED,
    500: ErrorKind.INTERNAL,
    501: ErrorKind.UNSUPPORTED,
    503: ErrorKind.UNAVAILABLE,
}


def of_client(problem: ClientError) -> ServerError:
    """The client's error, with what to do about it."""
    kind = next((kind for error, kind in _KINDS if isinstance(problem, error)), ErrorKind.UNKNOWN)
    if type(problem) is AnswerError and problem.status.isdecimal():
        kind = _STATUS.get(int(problem.status), kind)
    return error_of_kind(kind, f"{problem}; {problem.fix}" if problem.fix else str(problem))


def of_status(status: int, message: str) -> ServerError:
    """An answer with an HTTP status that is not 200."""
    return error_of_kind(_STATUS.get(status, ErrorKind.UNKNOWN), message)
