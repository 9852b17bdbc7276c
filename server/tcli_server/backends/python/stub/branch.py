"""What a process that the model has forked asks the server by: a socket and memories of its own."""

from __future__ import annotations

import socket

from .link import Link
from .memory import ReadMemory, WrittenMemory, new_memory
from .wire import Channel


def open_branch(door: socket.socket, limit: int) -> Link:
    """Tell the server of this process.

    Args:
        door: inherited; each message there is another process.
        limit: bytes of memory for what this one writes.

    Raises:
        OSError: the server is gone, or there are too many open files.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        requests, responses = new_memory("requests"), new_memory("responses")
        link = Link(Channel(ours), ReadMemory(requests), WrittenMemory(responses, limit))
        socket.send_fds(door, [b"."], [theirs.fileno(), requests, responses])
    link.start()
    return link
