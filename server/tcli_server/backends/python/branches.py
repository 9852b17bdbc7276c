"""Processes that a worker's model has forked: what they ask of the server comes on a socket of their own."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping

from tcli_server.backends.python.messages import loads
from tcli_server.backends.python.outbox import Outbox
from tcli_server.backends.python.stub.memory import ReadMemory, WrittenMemory
from tcli_server.backends.python.stub.wire import Channel, Message
from tcli_server.observability.log import LOG

_DESCRIPTORS = 3
"""What a forked process hands over: its socket, and the memories for requests and for responses."""

_NOT_HERE = (
    "a process that the model has forked cannot do this: do it in the model's own process, from any thread of it"
)

Serve = Callable[[], tuple[Mapping[str, "Callable[[Branch, Message], None]"], Callable[[], None]]]
"""Makes what answers one such process: handlers by the kinds of its messages, and what is to be done once it is gone."""


class Branches:
    """Those of one worker. They are listened to from the first fork on.

    Args:
        name: the instance's, for the log.
        limit: bytes that each of their shared memories may have.
    """

    def __init__(self, name: str, limit: int, serve: Serve) -> None:
        self._name = name
        self._limit = limit
        self._serve = serve
        self._lock = threading.Lock()
        self._open: set[Branch] = set()
        self._listening = self._closed = False
        self._door, self._their_door = socket.socketpair(type=socket.SOCK_DGRAM)

    def door(self) -> socket.socket:
        """Where they say that they are there; for the worker, and to be closed here once it has it."""
        return self._their_door

    def listen(self) -> None:
        """The worker has forked."""
        with self._lock:
            if self._listening or self._closed:
                return
            self._listening = True
        threading.Thread(target=self._welcome, name=f"{self._name} forks", daemon=True).start()

    @property
    def memory_size(self) -> int:
        """Bytes of shared memory that they have."""
        with self._lock:
            return sum(branch.memory_size for branch in self._open)

    def close(self) -> None:
        """The worker is gone, and they end with it."""
        with self._lock:
            self._closed = True
            still_open = list(self._open)
            with contextlib.suppress(OSError):
                self._door.shutdown(socket.SHUT_RDWR)  # wakes who listens
            self._door.close()
        for branch in still_open:
            branch.close()

    def _welcome(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._door, 1, _DESCRIPTORS)
            except OSError:
                return
            if not data:
                return
            try:
                self._begin(descriptors)
            except Exception:  # whatever the model sent there: the next one is to be heard
                LOG.exception("instance '%s': a process that it forked cannot be served", self._name)

    def _begin(self, descriptors: list[int]) -> None:
        with contextlib.ExitStack() as opened:
            for descriptor in descriptors:
                opened.callback(os.close, descriptor)
            branch = Branch(f"{self._name} fork", descriptors, self._limit, self._serve, self._gone)
            with self._lock:
                if self._closed:
                    return
                self._open.add(branch)
            opened.pop_all()
        branch.start()

    def _gone(self, branch: "Branch") -> None:
        with self._lock:
            self._open.discard(branch)


class Branch:
    """One of them.

    Attributes:
        requests: memory that the server writes.
        responses: memory that the process writes.
    """

    def __init__(
        self, name: str, descriptors: list[int], limit: int, serve: Serve, gone: "Callable[[Branch], None]"
    ) -> None:
        wire, requests, responses = self._descriptors = descriptors
        self._name = name
        self._gone = gone
        self.requests = WrittenMemory(requests, limit)
        self.responses = ReadMemory(responses)
        self._socket = socket.socket(fileno=os.dup(wire))
        self._channel = Channel(self._socket, loads)
        self._outbox = Outbox(self._socket)
        self._handlers, self._let_go = serve()

    @property
    def memory_size(self) -> int:
        """Bytes of shared memory that it has, both ways."""
        return sum(os.fstat(descriptor).st_size for descriptor in self._descriptors[1:])

    def start(self) -> None:
        """Listen, in a thread of its own."""
        threading.Thread(target=self._listen, name=self._name, daemon=True).start()

    def tell(self, message: Message) -> None:
        """Tell it something, without waiting; what is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._outbox.post(message)

    def close(self) -> None:
        """Hang up, at which it ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                message = self._channel.receive()
            except OSError:
                message = None
            if message is None:
                break
            for offset in message.get("gone", ()):
                self.requests.give_back(offset)
            try:
                self._handle(message)
            except Exception:
                LOG.exception("%s: what it said could not be handled", self._name)
        self._gone(self)
        self._let_go()
        self._channel.close()
        self.requests.forget()
        self.responses.forget()
        for descriptor in self._descriptors:
            os.close(descriptor)

    def _handle(self, message: Message) -> None:
        handler = self._handlers.get(message["kind"])
        if handler is not None:
            handler(self, message)
        elif "call" in message:
            self.tell({"call": message["call"], "error": _NOT_HERE})
