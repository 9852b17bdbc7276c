"""The two errors of `triton_python_backend_utils`: one that a model answers with, one that it may catch."""

from __future__ import annotations

from enum import IntEnum

from .texts import text_of


class ErrorCode(IntEnum):
    """The constants of `TritonError`; they have a name, and print as Triton's do."""

    UNKNOWN = 0
    INTERNAL = 1
    NOT_FOUND = 2
    INVALID_ARG = 3
    UNAVAILABLE = 4
    UNSUPPORTED = 5
    ALREADY_EXISTS = 6
    CANCELLED = 7

    def __str__(self) -> str:
        return f"__ErrorCode.{self.name}"


_CODES = frozenset(map(int, ErrorCode))


class TritonError:
    """What a response carries in place of outputs.

    Args:
        message: what the client reads.
        code: one of the constants below; it decides the client's status.

    Raises:
        TypeError: the message is no text, or the code is none of the constants.
    """

    UNKNOWN = ErrorCode.UNKNOWN
    INTERNAL = ErrorCode.INTERNAL
    NOT_FOUND = ErrorCode.NOT_FOUND
    INVALID_ARG = ErrorCode.INVALID_ARG
    UNAVAILABLE = ErrorCode.UNAVAILABLE
    UNSUPPORTED = ErrorCode.UNSUPPORTED
    ALREADY_EXISTS = ErrorCode.ALREADY_EXISTS
    CANCELLED = ErrorCode.CANCELLED

    __slots__ = ("_code", "_message")

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        if isinstance(code, bool) or code not in _CODES:
            raise TypeError(
                f"code: expected one of TritonError's constants such as TritonError.INTERNAL, found {code!r}"
            )
        self._message = text_of("message", message)
        self._code = ErrorCode(code)

    def message(self) -> str:
        """The text."""
        return self._message

    def code(self) -> ErrorCode:
        """The code."""
        return self._code

    def __repr__(self) -> str:
        return f"TritonError({self._message!r}, {self._code})"


class TritonModelException(Exception):  # noqa: N818  (Triton's name)
    """Raised by everything in this module that fails for another reason than the type of an argument."""
