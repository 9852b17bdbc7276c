"""The event loop of a model whose methods are coroutines: one for all of them, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .ending import end_process

_THREADS = 32
"""As many inferences on other models may coroutines wait for at once; as in Triton."""


class Coroutines:
    """Runs coroutines; what they leave behind, tasks for example, goes on between them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start a coroutine: a future of what it returns, or raises."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(ThreadPoolExecutor(_THREADS, "inference"))
                threading.Thread(target=_run, args=(self._loop,), name="coroutines", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns, or raises."""
        return self.begin(coroutine).result()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    except BaseException as error:  # a coroutine wants the process to end, as any other code may
        end_process(error)
