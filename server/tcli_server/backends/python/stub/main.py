"""A worker's life: load the model, then do what the server orders, one order at a time, until it is gone."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from . import failures, pb_utils
from .branch import open_branch
from .ending import end_process
from .errors import TritonModelException
from .link import Link, connect, leave_to_parent
from .memory import FullError, ReadMemory, WrittenMemory
from .model import Model, auto_complete, import_class
from .wire import Channel, Message

_PR_SET_PDEATHSIG = 1


def main(arguments: list[int]) -> None:
    """Serve the server.

    Args:
        arguments: descriptors of the sockets for orders, for calls and for processes that the model forks, of the memories
            for requests and for responses; the most bytes of the latter; the server's process id.
    """
    *descriptors, limit, parent = arguments
    orders, calls, door, requests, responses = descriptors
    sys.argv[:] = [""]  # as in an interpreter without a program: a model may look for options of its own
    for descriptor in descriptors:  # they would keep the server from seeing this process' end
        os.set_inheritable(descriptor, False)
    _outlive_nobody(parent)
    faulthandler.enable()
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the server says when to end
        signal.signal(number, signal.SIG_IGN)
    channels = Channel(socket.socket(fileno=orders)), Channel(socket.socket(fileno=calls))
    link = Link(channels[1], ReadMemory(requests), WrittenMemory(responses, limit))
    connect(link)
    branch = partial(open_branch, socket.socket(fileno=door), limit)
    os.register_at_fork(after_in_parent=lambda: _tell_forked(link), after_in_child=lambda: _leave(branch, *channels))
    sys.modules["triton_python_backend_utils"] = sys.modules["c_python_backend_utils"] = pb_utils
    try:
        _Worker(channels[0], link).run()
    except BaseException as error:
        end_process(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of the model may never end


def _outlive_nobody(parent: int) -> None:
    """End with the server, however that ends. Without Linux's help, the closed sockets tell."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def _tell_forked(link: Link) -> None:
    with contextlib.suppress(TritonModelException):  # it is gone; or this is itself a forked process
        link.tell("forked", {})


def _leave(branch: Callable[[], Link], *channels: Channel) -> None:
    """In a process that the model forked: an open socket would keep the server from seeing that its parent has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):  # which its parent ends it with, not the server
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    leave_to_parent(branch)
    for channel in channels:
        channel.forsake()


class _Worker:
    def __init__(self, orders: Channel, link: Link) -> None:
        self._orders = orders
        self._link = link
        self._model: Model | None = None
        self._class: Any = None
        self._block = -1
        link.handle("cancel", self._cancel)
        link.handle("ready", self._ready)
        link.start()

    def run(self) -> None:
        """Follow orders until there are no more."""
        handlers: dict[str, Callable[[Message], Message]] = {
            "execute": self._execute,
            "load": self._load,
            "auto_complete": self._auto_complete,
            "finalize": self._finalize,
        }
        while True:
            order = self._orders.receive()
            if order is None:
                return
            handler = handlers[order["kind"]]
            reply = handler(order)
            order = None  # the last reference to the inputs
            gone = self._link.requests.gone()
            if gone:
                reply["gone"] = gone
            self._orders.send(reply)
            self._link.progress[0] = 0

    def _execute(self, order: Message) -> Message:
        if self._block >= 0:  # the server has what was in it
            self._link.responses.give_back(self._block)
        assert self._model is not None
        try:
            reply, self._block = self._model.execute(order)
        except FullError as error:
            reply, self._block = {"failure": failures.describe(error)}, -1
        return reply

    def _load(self, order: Message) -> Message:
        self._link.loading = order["arguments"]["model_name"]
        try:
            model_class = self._imported(order)
            self._model = Model(model_class, order["instance"], order["path"], order["decoupled"], self._link)
            self._model.initialize(order["arguments"])
        except BaseException as error:  # SystemExit, too: the server says whether to go on
            return {"failure": failures.describe(error)}
        self._link.can_infer, self._link.loading = True, ""
        return {"checks": self._model.checks_readiness}

    def _auto_complete(self, order: Message) -> Message:
        try:
            return {"config": auto_complete(self._imported(order), order["config"])}
        except BaseException as error:
            return {"failure": failures.describe(error)}

    def _imported(self, order: Message) -> Any:
        pb_utils.set_model_dir(order["folder"])
        return import_class(order["path"], order["package"])

    def _finalize(self, _: Message) -> Message:
        self._link.can_infer = False
        try:
            if self._model is not None:
                self._model.finalize()
        except Exception as error:
            return {"failure": failures.describe(error)}
        return {}

    # --- what the server says at any time; in the thread of the link ---

    def _cancel(self, message: Message) -> None:
        if self._model is not None:
            self._model.cancel(message["request"])

    def _ready(self, message: Message) -> None:
        threading.Thread(target=self._tell_ready, args=(message["check"],), name="ready", daemon=True).start()

    def _tell_ready(self, check: int) -> None:
        ready, reason = self._model.is_ready() if self._model is not None else (True, "")
        self._link.tell("ready", {"check": check, "ready": ready, "reason": reason})
