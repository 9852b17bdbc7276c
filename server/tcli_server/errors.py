"""Every error that the server tells a user, in Triton's kinds.

    ServerError
    ├── UnknownError
    ├── InternalError
    ├── NotFoundError
    ├── InvalidArgumentError
    │   └── ConfigError          all that is wrong with one model configuration
    ├── UnavailableError
    ├── UnsupportedError
    ├── AlreadyExistsError
    └── CancelledError

Each protocol maps a kind to its status in one table of its own.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tcli_server.repository.problem import Problem


class ErrorKind(Enum):
    """Triton's error codes (TRITONSERVER_Error_Code)."""

    UNKNOWN = auto()
    INTERNAL = auto()
    NOT_FOUND = auto()
    INVALID_ARG = auto()
    UNAVAILABLE = auto()
    UNSUPPORTED = auto()
    ALREADY_EXISTS = auto()
    CANCELLED = auto()


class ServerError(Exception):
    """Base of all errors with a message meant for the person who asked."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNKNOWN


class UnknownError(ServerError):
    """Something failed and nothing more is known."""


class InternalError(ServerError):
    """The server or a backend failed; the request may have been right."""

    kind = ErrorKind.INTERNAL


class NotFoundError(ServerError):
    """The model, version or path does not exist."""

    kind = ErrorKind.NOT_FOUND


class InvalidArgumentError(ServerError):
    """The request or a file is wrong and must be changed."""

    kind = ErrorKind.INVALID_ARG


class ConfigError(InvalidArgumentError):
    """A model configuration is wrong: carries every problem found, not only the first."""

    def __init__(self, problems: Sequence["Problem"]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)


class UnavailableError(ServerError):
    """Right request, wrong moment: not ready, queue full, shutting down."""

    kind = ErrorKind.UNAVAILABLE


class UnsupportedError(ServerError):
    """This server does not do that."""

    kind = ErrorKind.UNSUPPORTED


class AlreadyExistsError(ServerError):
    """The name is taken."""

    kind = ErrorKind.ALREADY_EXISTS


class CancelledError(ServerError):
    """The caller gave up on the request."""

    kind = ErrorKind.CANCELLED


_OF_KIND = {
    error.kind: error
    for error in (
        UnknownError,
        InternalError,
        NotFoundError,
        InvalidArgumentError,
        UnavailableError,
        UnsupportedError,
        AlreadyExistsError,
        CancelledError,
    )
}


def error_of_kind(kind: ErrorKind, message: str) -> ServerError:
    """An error of a kind with a message of its own; the classes below the kinds' need more than a message."""
    return _OF_KIND[kind](message)


def request_prefix(request_id: str) -> str:
    """How Triton begins every inference-time error."""
    return f"[request id: {request_id or '<id_unknown>'}] "
