"""Sends to a worker without ever waiting for it: whoever tells it something has others to serve as well."""

import select
import socket
import threading
from collections import deque

from tcli_server.backends.python.stub.wire import Message, packed


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
                sent = self._socket.send(data, socket.MSG_DONTWAIT)
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
