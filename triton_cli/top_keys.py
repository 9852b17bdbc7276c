"""Keys as they are pressed, without Enter, where commands are typed at a terminal."""

import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

UP, DOWN = "up", "down"
_ARROWS = {"\x1b[A": UP, "\x1b[B": DOWN, "\x1bOA": UP, "\x1bOB": DOWN, "k": UP, "j": DOWN}


class Keys:
    """The keyboard.

    Args:
        descriptor: of standard input; None where it is no terminal, so that no key ever comes.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def next(self, seconds: float) -> str:
        """A key, `UP` or `DOWN`; empty if none comes in so many seconds."""
        if self._descriptor is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return ""
        read = os.read(self._descriptor, 16).decode(errors="replace")
        if not read:  # the terminal is gone
            self._descriptor = None
        return _ARROWS.get(read, read[:1] if not read.startswith("\x1b") else "")


@contextmanager
def keyboard() -> Iterator[Keys]:
    """While it lasts, keys come one by one and are not shown; the terminal is left as it was."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield Keys(None)
        return
    if not sys.stdin.isatty():
        yield Keys(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
