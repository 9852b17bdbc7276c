"""What Python's collector of garbage takes of a thread's time: it runs in whichever thread makes an object too many, and does nothing
for what that thread was about."""

import gc
import threading
import time
from typing import Any


class _Held(threading.local):
    began_ns = 0
    so_far_ns = 0


_HELD = _Held()


def held_up_ns() -> int:
    """Nanoseconds of processor time that collections have taken of the calling thread so far."""
    return _HELD.so_far_ns


def _note(phase: str, _: dict[str, Any]) -> None:
    now_ns = time.thread_time_ns()
    if phase == "start":
        _HELD.began_ns = now_ns
    else:
        _HELD.so_far_ns += now_ns - _HELD.began_ns


gc.callbacks.append(_note)
