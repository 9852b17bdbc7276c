"""A server that does what it is told to, however wrong: bytes for each connection."""

import socket
import struct
import threading
from collections.abc import Callable

V2 = b'{"name": "wild", "version": "1", "extensions": ["binary_tensor_data"]}'
STATISTICS = b'{"model_stats": []}'


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class WildServer:
    """Answers what is asked about itself like any V2 server; what is done with an inference request is the caller's.

    Args:
        infer: is given the connection and the number of the inference request, from 0; True to read on.
        mute_after: questions for statistics that it answers; those after them fail.
    """

    def __init__(
        self, infer: Callable[[socket.socket, int], bool], extensions: bytes = V2, mute_after: int = 1 << 62
    ) -> None:
        self._infer = infer
        self._told_left = mute_after
        self._about = extensions
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "WildServer":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.refuse()
        for connection in self._open:
            connection.close()

    def refuse(self) -> None:
        """No new connections from now on."""
        try:
            self._listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while request := _read(connection):
                if request.startswith(b"POST"):
                    with self._lock:
                        number = len(self.requests)
                        self.requests.append(request)
                    if not self._infer(connection, number):
                        return
                elif b"/stats" not in request:
                    connection.sendall(answer(self._about))
                elif self._told_left > 0:
                    self._told_left -= 1
                    connection.sendall(answer(STATISTICS))
                else:
                    connection.sendall(answer(b'{"error": "not now"}', "500 Internal Server Error"))
        except OSError:
            return


def reset(connection: socket.socket) -> None:
    """Close it with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _read(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    missing = (int(lengths[0]) if lengths else 0) - len(body)
    while missing > 0:
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        received += piece
        missing -= len(piece)
    return received
