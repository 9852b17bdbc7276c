"""An event loop in a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class LoopThread:
    """Runs from its making until `close`; on uvloop where there is one."""

    def __init__(self, name: str) -> None:
        self.loop = _new_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, what: Callable[..., object], *arguments: object) -> None:
        """Call it in the loop's thread: at once where the caller is in it already.

        Raises:
            RuntimeError: it is closed.
        """
        if threading.get_ident() == self._thread.ident:
            what(*arguments)
        else:
            self.loop.call_soon_threadsafe(what, *arguments)

    def wait_for(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run it in the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    @property
    def cpu_ns(self) -> int:
        """Processor time that it has used; 0 where this system does not tell."""
        if self._thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
            return 0
        return time.clock_gettime_ns(time.pthread_getcpuclockid(self._thread.ident))

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
