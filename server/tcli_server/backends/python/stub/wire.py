"""Messages between the server and a worker: JSON behind its length, over a stream socket."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

_encoder = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode

_LENGTH = struct.Struct("<I")
_CHUNK = 1 << 16


class Channel:
    """One end of a socket. Any thread may send, one at a time may receive.

    Args:
        loads: reads JSON.
    """

    def __init__(self, sock: socket.socket, loads: Callable[[bytes], Any] = json.loads) -> None:
        self._socket = sock
        self._loads = loads
        self._lock = threading.Lock()
        self._later: deque[bytes] = deque()
        self._received = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            OSError: the other end is gone.
        """
        data = packed(message)
        with self._lock:
            self._socket.sendall(data)
        if self._later:
            self._send_later()

    def send_later(self, message: Message) -> None:
        """Send one message soon, for `__del__`: the garbage collector may call that in the middle of a `send`, in its thread.

        Raises:
            OSError: the other end is gone.
        """
        self._later.append(packed(message))
        self._send_later()

    def _send_later(self) -> None:
        while self._later and self._lock.acquire(blocking=False):  # else whoever has it looks again afterwards
            try:
                if self._later:
                    self._socket.sendall(self._later.popleft())
            finally:
                self._lock.release()

    def forsake(self) -> None:
        """For a forked child: leave the socket to the parent. What is sent from now on raises OSError."""
        self._lock = threading.Lock()  # nobody is left here who could release the other
        self._later = deque()
        self._socket.close()

    def receive(self) -> Message | None:
        """The next message; None once the other end is gone.

        Raises:
            TimeoutError: the socket has a time limit, and nothing came.
        """
        data = self._received
        while True:
            if len(data) >= 4:
                end = 4 + _LENGTH.unpack_from(data)[0]
                if len(data) >= end:
                    self._received = data[end:]
                    message: Message = self._loads(data[4:end])
                    return message
                if end > 2 * _CHUNK:
                    data = self._receive_long(data, end)
                    continue
            try:
                more = self._socket.recv(_CHUNK)
            except ConnectionError:
                more = b""
            except OSError:  # a time-out, or an interrupted wait: what has come is kept
                self._received = data
                raise
            if not more:
                return None
            data = data + more if data else more

    def receive_now(self) -> Message | None:
        """The next message if it is there, without waiting.

        Raises:
            OSError: the other end is gone.
        """
        try:
            while True:
                more = self._socket.recv(1 << 20, socket.MSG_DONTWAIT)
                if not more:
                    raise ConnectionResetError
                data = self._received = self._received + more
                if len(data) >= 4 and len(data) >= 4 + _LENGTH.unpack_from(data)[0]:
                    return self.receive()
        except BlockingIOError:
            return None

    def _receive_long(self, data: bytes, end: int) -> bytes:
        parts = [data]
        missing = end - len(data)
        while missing > 0:
            try:
                more = self._socket.recv(min(missing, 1 << 20))
            except ConnectionError:
                more = b""
            except OSError:
                self._received = b"".join(parts)
                raise
            if not more:
                return b""
            parts.append(more)
            missing -= len(more)
        return b"".join(parts)

    def hang_up(self) -> None:
        """Wake whoever receives, for ever."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Wake whoever receives, and close."""
        self.hang_up()
        self._socket.close()


def packed(message: Message) -> bytes:
    """A message as it travels."""
    data = _encoder(message).encode()
    return _LENGTH.pack(len(data)) + data
