"""Texts that came from a client, made fit to be shown to one: in an error body, a gRPC status, a log line."""

import re

_LONGEST_NAME = 200
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSHOWABLE_BUT_LAYOUT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def short(text: object, longest: int = _LONGEST_NAME) -> str:
    """A name or value for a message: control characters and lone surrogates as escapes, cut where it is long."""
    shown = str(text)
    cut = shown if len(shown) <= longest else f"{shown[:longest]}... ({len(shown)} characters)"
    return _UNSHOWABLE.sub(_escape, cut)


def answerable(message: str, longest: int) -> str:
    """A whole message that any encoder takes and any terminal shows; line ends and tabs stay.

    Args:
        longest: characters to keep; what is cut is said.
    """
    if len(message) > longest:
        message = f"{message[:longest]}... ({len(message)} characters)"
    return _UNSHOWABLE_BUT_LAYOUT.sub(_escape, message)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
