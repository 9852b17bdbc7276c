"""A worker's way to ask its server: for other models, for room to send more, for logging, metrics and model control."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable

import numpy as np

from .errors import TritonModelException
from .memory import PROGRESS, ReadMemory, WrittenMemory
from .wire import Channel, Message

_PROGRESS_BYTES = 8

Handler = Callable[[Message], None]


class Link:
    """The socket on which both sides may speak at any time.

    Attributes:
        requests: what the server writes.
        responses: what this worker writes.
        can_infer: whether other models may be asked now.
        loading: name of the model while it is being loaded, empty afterwards.
        progress: requests of the present order that were begun, uint64 [1]; see `memory.PROGRESS`.
    """

    def __init__(self, channel: Channel, requests: ReadMemory, responses: WrittenMemory) -> None:
        self.requests = requests
        self.responses = responses
        self.can_infer = False
        self.loading = ""
        responses.take(_PROGRESS_BYTES)  # the first block is at PROGRESS
        self.progress = responses.array(PROGRESS, _PROGRESS_BYTES).view(np.uint64)
        self._channel = channel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Callable[[Message], None]] = {}
        self._handlers: dict[str, Handler] = {}

    def handle(self, kind: str, handler: Handler) -> None:
        """Have messages of that kind handled, in the thread that receives; it must neither block nor raise."""
        self._handlers[kind] = handler

    def start(self) -> None:
        """Receive in a thread of its own; the process ends when the server is gone."""
        threading.Thread(target=self._receive, name="server", daemon=True).start()

    def ask(self, kind: str, body: Message) -> Message:
        """Ask the server and wait for its answer; from any thread.

        Raises:
            TritonModelException: what the server says against it.
        """
        answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.begin(kind, body, answers.put)
        return checked(answers.get())

    def begin(self, kind: str, body: Message, then: Callable[[Message], None]) -> None:
        """Ask, and call `then` with the answer in the thread that receives."""
        number = next(self._numbers)
        self._waiting[number] = then
        self._send({**body, "kind": kind, "call": number})

    def tell(self, kind: str, body: Message) -> None:
        """Tell the server, without an answer; from any thread."""
        self._send({**body, "kind": kind})

    def tell_later(self, kind: str, body: Message) -> None:
        """As `tell`, for `__del__`; raises nothing, as nobody hears it there."""
        with contextlib.suppress(OSError):
            self._channel.send_later({**body, "kind": kind})

    def forsake(self) -> None:
        """For a forked child: the wire is its parent's."""
        self._channel.forsake()

    def _send(self, message: Message) -> None:
        gone = self.requests.gone()
        if gone:
            message["gone"] = gone
        try:
            self._channel.send(message)
        except OSError:
            raise TritonModelException("the server is gone") from None

    def _receive(self) -> None:
        while True:
            message = self._channel.receive()
            if message is None:
                os._exit(0)  # nobody is left to answer; what the model does meanwhile is for nobody
            call = message.get("call")
            if call is not None:
                then = self._waiting.pop(call, None)
                if then is not None:
                    then(message)
            else:
                self._handlers[message["kind"]](message)


def checked(answer: Message) -> Message:
    """An answer that is no refusal.

    Raises:
        TritonModelException: it is one.
    """
    if "error" in answer:
        raise TritonModelException(answer["error"])
    return answer


_link: Link | None = None
_branch: Callable[[], Link] | None = None
_branching = threading.Lock()
_could_infer = False


def connect(link: Link) -> None:
    """Make `server` answer, in this process alone."""
    global _link
    _link = link


def leave_to_parent(branch: Callable[[], Link]) -> None:
    """In a process that the model forked: the wire is its parent's, and who asks here gets another one by `branch`."""
    global _link, _branch, _branching, _could_infer
    if _link is not None:
        _could_infer = _link.can_infer
        _link.forsake()
    _link, _branch, _branching = None, branch, threading.Lock()


def server() -> Link:
    """The server that runs this model.

    Raises:
        TritonModelException: none does; for example, the module was imported by hand.
    """
    link = _link or _connected()
    if link is None:
        raise TritonModelException("this needs a server: the model is not run by one")
    return link


def present() -> Link | None:
    """As `server`, if this process has asked it before; for `__del__`."""
    return _link


def _connected() -> Link | None:
    global _link
    with _branching:
        if _link is None and _branch is not None:
            try:
                _link = _branch()
            except OSError as error:
                raise TritonModelException(f"the server cannot be asked by a forked process: {error}") from None
            _link.can_infer = _could_infer
        return _link
