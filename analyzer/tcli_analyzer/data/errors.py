"""What is wrong with input data."""

from tcli_server.errors import InvalidArgumentError


class DataError(InvalidArgumentError):
    """Input data cannot be used; the message says which file, entry and input, what was expected and what was found.

    Attributes:
        fix: what to do about it, one sentence; empty where the message says it all.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class UnusableItemError(Exception):
    """One item of many cannot be read; the others can be used without it. The message is the reason, with the file."""
