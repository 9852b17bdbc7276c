"""What sockets and the load generator alone allow: every inference over HTTP is answered by the same bytes, and nothing is run.

python benchmarks/no_work.py        # prints the HTTP port
"""

import asyncio
import json
import re
from typing import cast

import numpy as np
import uvloop

from asgi_floor import ANSWERS, infer

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_ARRIVALS = memoryview(bytearray(1 << 18))


def answer(body: bytes, json_length: int) -> bytes:
    """As tcli sends it: as many bytes in as many header lines."""
    length, content = infer(body, json_length)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    return head % (length, len(content)) + content


def _usual() -> bytes:
    tensors = [
        {"name": name, "shape": [1, 16], "parameters": {"binary_data_size": 64}} for name in ("INPUT0", "INPUT1")
    ]
    text = json.dumps({"inputs": tensors}).encode()
    return answer(text + np.zeros(32, np.float32).tobytes(), len(text))


_USUAL = _usual()


class Http(asyncio.BufferedProtocol):
    """Counts bytes of bodies; for one request at a time, whose head comes in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._missing = 0

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return _ARRIVALS

    def buffer_updated(self, count: int) -> None:
        if self._missing:
            self._missing -= count
        else:
            data = bytes(_ARRIVALS[:count])
            if data[:4] == b"GET ":
                body = ANSWERS[data.split(b" ", 2)[1].decode().rpartition("/")[2]]
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                self._transport.write(head % len(body) + body)
                return
            length = _LENGTH.search(data)
            assert length is not None, data
            self._missing = int(length[1]) - (len(data) - data.index(b"\r\n\r\n") - 4)
        if not self._missing:
            self._transport.write(_USUAL)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Http, "127.0.0.1", 0)
    print(json.dumps({"http": server.sockets[0].getsockname()[1], "grpc": 0}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
