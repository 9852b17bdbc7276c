"""Texts that a model gives: `str`, or UTF-8 as `bytes`, as elements of a string tensor are."""

from __future__ import annotations


def text_of(argument: str, value: object) -> str:
    """The text.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise TypeError(f"{argument}: expected a str, found bytes that are no UTF-8: {error.reason}") from None
    raise TypeError(f"{argument}: expected a str, found {type(value).__name__}")
