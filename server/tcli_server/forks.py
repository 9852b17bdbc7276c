"""Tells objects that have threads when they are the copies in a forked child, where these threads are not."""

import ctypes
import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """What is to be told."""

    def forked(self) -> None:
        """This is the copy in a child."""


_WATCHED: "weakref.WeakSet[Forked]" = weakref.WeakSet()


def watch_forks(watched: Forked) -> None:
    """Tell an object in each child that is forked from now on; there it is never freed.

    Libraries wait, or crash, when they end threads that only the parent has.
    """
    _WATCHED.add(watched)


def _after_fork() -> None:
    for watched in _WATCHED:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(watched))
        watched.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
