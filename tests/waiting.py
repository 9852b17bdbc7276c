"""Waiting for what must come."""

import time
from collections.abc import Callable

PATIENCE = 60


def until(condition: Callable[[], bool], what: str = "it did not come") -> None:
    """Wait until the condition holds; that it does not, on however slow a machine, is a failure of the test."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)
