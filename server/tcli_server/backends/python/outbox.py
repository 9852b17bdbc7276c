"""Sends to a worker without ever waiting for it: whoever tells it something has others to serve as well."""

import ctypes
import os
import select
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable

from tcli_server.backends.python.messages import packed
from tcli_server.backends.python.stub.wire import Message


def _sender() -> Callable[[socket.socket, bytes], int]:
    """`socket.send` without waiting, and where that is possible without letting go of the interpreter either.

    Python's own lets others run during the call, which takes microseconds; but then the caller has to wait until they let go
    in turn, and an event loop that has much to do does not for a long time.
    """
    if sys.platform != "linux":
        return lambda sock, data: sock.send(data, socket.MSG_DONTWAIT)
    send = ctypes.PyDLL(None, use_errno=True).send
    send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    send.restype = ctypes.c_ssize_t

    def send_at_once(sock: socket.socket, data: bytes) -> int:
        sent: int = send(sock.fileno(), data, len(data), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if sent < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return sent

    return send_at_once


_send_at_once = _sender()


class Outbox:
    """The sending half of a socket. What does not fit into it goes on its way in a thread, which ends when all is sent.

    A worker that is stopped, or whose model keeps the interpreter to itself, reads nothing. What waits for it is no more
    than its requests and the responses to its own, which are limited elsewhere.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()

    def post(self, message: Message) -> None:
        """Send a message after those before it; from any thread.

        Raises:
            OSError: the other end is gone.
        """
        data = packed(message)
        with self._lock:
            if self._waiting:
                self._waiting.append(data)
                return
            try:
                sent = _send_at_once(self._socket, data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            self._waiting.append(data[sent:])
        threading.Thread(target=self._work_off, name="outbox", daemon=True).start()

    def _work_off(self) -> None:
        """Send what waits; nobody else does meanwhile."""
        room = select.poll()
        try:
            room.register(self._socket, select.POLLOUT)
            while True:
                data = memoryview(self._waiting[0])
                while data:
                    room.poll()
                    try:
                        data = data[self._socket.send(data, socket.MSG_DONTWAIT) :]
                    except BlockingIOError:
                        continue
                with self._lock:
                    self._waiting.popleft()
                    if not self._waiting:
                        return
        except (OSError, ValueError):  # it is gone: nobody hears the rest
            with self._lock:
                self._waiting.clear()
