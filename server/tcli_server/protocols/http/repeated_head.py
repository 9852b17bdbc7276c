"""The head of a request that comes again, byte for byte, as it does from a client that keeps its connection."""

from typing import NamedTuple

from tcli_server.protocols.http.exchange import Exchange

_LARGEST = 1 << 11
"""Bytes of a head that a connection remembers."""

_END = b"\r\n\r\n"

_ODD = (b"expect", b"upgrade", b"connection", b"transfer-encoding")
"""Headers that want more than to be handed on."""


class RepeatedHead(NamedTuple):
    """What the parser made of a head: the same bytes between two requests are the same head.

    Attributes:
        head: its bytes, the empty line included.
        length: bytes of the body.
        size: bytes of both.
        headers: of all exchanges that have this head; nobody changes them.
    """

    head: bytes
    length: int
    size: int
    method: bytes
    path: bytes
    headers: dict[bytes, bytes]


def repeated_head(data: bytes, exchange: Exchange, length: int) -> RepeatedHead | None:
    """Remember a request's head; None if it is not worth it.

    Args:
        data: what was read of the connection since the request before: the head, alone or with the whole body.
        length: bytes of the body.
    """
    if data[:1] in (b"\r", b"\n"):  # what follows the empty lines before a request is not its body
        return None
    end = data.find(_END, 0, _LARGEST) + len(_END)
    if end < len(_END) or not length or len(data) - end not in (0, length):
        return None
    headers = exchange.headers
    if not exchange.keep_alive or exchange.http_1_0 or not headers.keys().isdisjoint(_ODD):
        return None
    return RepeatedHead(data[:end], length, end + length, exchange.method, exchange.path, headers)
