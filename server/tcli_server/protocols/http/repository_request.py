"""The bodies of the repository's requests: index, load and unload."""

import base64
import binascii
from typing import Any

from tcli_server.copying import as_bytes
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.http.exchange import Body
from tcli_server.protocols.http.json_pieces import loads
from tcli_server.protocols.texts import short

_SPACE = b" \t\r\n"
_PIECE = 1 << 18
"""Characters of base64 decoded at a time; a multiple of four."""


def read_index(body: Body, max_size: int) -> bool:
    """Whether only models that are ready are asked for.

    Raises:
        InvalidArgumentError: `ready` is no boolean; the body is larger than `max_size` bytes.
        InternalError: malformed JSON (Triton answers 500 here, and for the two below).
    """
    ready = _parse_object(body, max_size).get("ready", False)
    if not isinstance(ready, bool):
        raise InvalidArgumentError("Invalid value for 'ready': expected a boolean")
    return ready


def read_load(body: Body, max_size: int) -> tuple[str | None, dict[str, bytes]]:
    """The `config` and the contents of the `file:<path>` parameters of a load request, by path.

    Raises:
        InvalidArgumentError: a file is no base64; the body is larger than `max_size` bytes.
        InternalError: malformed JSON, a parameter that is unknown or no string.
    """
    config: str | None = None
    files: dict[str, bytes] = {}
    parameters = _parse_object(body, max_size).get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InternalError("Unable to parse 'parameters': expected an object")
    for key, value in parameters.items():
        if not isinstance(value, str):
            raise InternalError(f"unexpected type for load parameter '{short(key)}', expected a string")
        if key == "config":
            config = value
        elif key.startswith("file:"):
            files[key.removeprefix("file:")] = _decode_base64(key, value)
        else:
            raise InternalError(f"unrecognized load parameter '{short(key)}', expected 'config' or 'file:<path>'")
    return config, files


def read_unload(body: Body, max_size: int) -> bool:
    """Whether models that only this one uses are to be unloaded too; anything but true is false, as in Triton.

    Raises:
        InvalidArgumentError: the body is larger than `max_size` bytes.
        InternalError: malformed JSON.
    """
    parameters = _parse_object(body, max_size).get("parameters")
    return isinstance(parameters, dict) and parameters.get("unload_dependents") is True


def _parse_object(body: Body, max_size: int) -> dict[str, Any]:
    if len(body) > max_size:
        raise InvalidArgumentError(
            f"request body of {len(body)} bytes is larger than the limit of {max_size} bytes. Use --http-max-input-size "
            "to allow more"
        )
    text = as_bytes(body)
    if not text.strip():
        return {}
    document = loads(text)
    if not isinstance(document, dict):
        raise InternalError("failed to parse the request JSON buffer: expected an object")
    return document


def _decode_base64(key: str, value: str) -> bytes:
    """Contents of a file. White space is no mistake; what else is no base64 would be lost without a word."""
    pieces: list[bytes] = []
    left, padded = b"", False
    try:
        for start in range(0, len(value), _PIECE):
            text = left + value[start : start + _PIECE].encode().translate(None, _SPACE)
            if padded and text:
                raise binascii.Error("Excess data after padding")
            whole = len(text) // 4 * 4
            padded = padded or text.endswith(b"=", 0, whole)
            pieces.append(base64.b64decode(text[:whole], validate=True))
            left = text[whole:]
        if left:
            raise binascii.Error("Incorrect padding")
    except binascii.Error as error:
        raise InvalidArgumentError(
            f"load parameter '{short(key)}' is not base64: {error}. Expected the file's bytes in the alphabet A-Z a-z 0-9 "
            "+ / with padding"
        ) from None
    return b"".join(pieces)
