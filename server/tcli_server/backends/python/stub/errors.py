"""What a model says went wrong, and what it is told."""

from __future__ import annotations


class TritonModelException(Exception):  # noqa: N818 - Triton's name
    """A call of this module was refused."""


class TritonError:
    """An error for one client, with one of Triton's codes."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message = message
        self._code = code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code
