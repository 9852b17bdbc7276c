"""HTTP answers that have an end: of so many bytes, within so many seconds, whatever a server sends."""

import ssl
import time
from collections.abc import Iterator

import httpx

_PLAIN = ("", "identity")


class BoundedTransport(httpx.HTTPTransport):
    """Below an `httpx.Client`: whoever reads a body that is too large or too slow gets an error.

    Compressed bodies are refused, since few bytes can become very many.

    Args:
        most_bytes: of a body.
        seconds: from sending a request until the last byte of its answer.
        tls: whom it trusts and who it is over TLS; None for what any client does.
    """

    def __init__(self, most_bytes: int, seconds: float, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(verify=tls or True)
        self._most_bytes = most_bytes
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As its base.

        Raises:
            httpx.ReadError: also for a body that is compressed; while it is read, one that is too large.
            httpx.ReadTimeout: also, while it is read, for one that takes too long.
        """
        deadline = time.monotonic() + self._seconds
        request.headers["Accept-Encoding"] = "identity"
        response = super().handle_request(request)
        encoding = response.headers.get("Content-Encoding", "")
        if encoding.lower() not in _PLAIN:
            response.close()
            raise httpx.ReadError("a compressed answer, though an uncompressed one was asked for")
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedStream(response.stream, self._most_bytes, deadline)
        return response


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, most_bytes: int, deadline: float) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        for part in self._stream:
            read += len(part)
            if read > self._most_bytes:
                raise httpx.ReadError(f"an answer of more than {self._most_bytes / 2**20:g} MiB")
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("the answer does not end")
            yield part

    def close(self) -> None:
        self._stream.close()
