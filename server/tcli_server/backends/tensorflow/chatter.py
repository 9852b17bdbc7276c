"""Keeps from stderr what TensorFlow says of itself while it is imported, whatever its environment variables say.

Errors, warnings, and what anybody else writes meanwhile pass on unchanged, also what a library says as it brings the process
down: that is why a process of its own reads it (`chatter_filter.py`).
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_STDERR = 2
_PATIENCE_SECS = 2
_FILTER = Path(__file__).with_name("chatter_filter.py")


@contextlib.contextmanager
def no_chatter() -> Iterator[None]:
    """Filter what is written to descriptor 2; where that is not possible, nothing is filtered."""
    before, reader = _redirected()
    try:
        yield
    finally:
        if reader is not None:
            os.dup2(before, _STDERR)
            os.close(before)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a child that was started meanwhile still has it
                reader.wait(_PATIENCE_SECS)


def _redirected() -> "tuple[int, subprocess.Popen[bytes] | None]":
    """Stderr as it was, and the process that reads what is written there instead."""
    if os.name != "posix" or not sys.executable:
        return -1, None
    try:
        before = os.dup(_STDERR)
    except OSError:
        return -1, None
    try:
        read, write = os.pipe()
        try:
            command = [sys.executable, "-I", "-S", str(_FILTER)]
            reader = subprocess.Popen(command, stdin=read, stdout=subprocess.DEVNULL, start_new_session=True)
            os.dup2(write, _STDERR)
        finally:
            os.close(read)
            os.close(write)
    except OSError:
        os.close(before)
        return -1, None
    return before, reader
