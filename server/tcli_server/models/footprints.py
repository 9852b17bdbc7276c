"""How much memory each model takes, as far as that can be known.

Known at first is only the size of its files. While it loads, the growth of this process and of those that it starts is
measured, and when it is unloaded, how much came back, which has in it what running it took. Both only where no other
model came or went at the same time.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.hardware.memory import resident_memory
from tcli_server.models.changes import take_snapshot
from tcli_server.repository import ModelFolder, choose_versions


class Footprints:
    """Bytes by model name; and what the server itself takes, from before the first model on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on_disk: dict[str, int] = {}
        self._measured: dict[str, int] = {}
        self._active = self._began = 0  # measurements under way, and all of them
        self._own = resident_memory()[0]
        self._first = True

    def of(self, name: str) -> int:
        """Bytes that a model takes: never less than its files have, as long as nobody knows better."""
        with self._lock:
            return max(self._on_disk.get(name, 0), self._measured.get(name, 0))

    def on_disk(self, name: str) -> int:
        """Bytes of a model's files, 0 if they are not known."""
        with self._lock:
            return self._on_disk.get(name, 0)

    def note_files(self, name: str, size: int) -> None:
        """A model's files have so many bytes; what was measured with files of another size counts no more."""
        with self._lock:
            if self._on_disk.get(name) not in (None, size):
                self._measured.pop(name, None)
            self._on_disk[name] = size

    @property
    def calibrated(self) -> bool:
        """Whether what the server itself takes is known, which a first load shows."""
        return not self._first

    def growth(self) -> int:
        """Bytes that this process and those that it started have grown by since no model was loaded."""
        own, children = resident_memory()
        return own + children - self._own

    @contextlib.contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """Measure what a model takes while it loads, memory that is free again by then given back."""
        with self._measuring() as measured:
            yield
            grown = measured()
        if grown is None:
            return
        own, children = grown
        with self._lock:
            if self._first:  # with it came libraries that stay
                size = self._on_disk.get(name, 0)
                self._own += max(0, own - size)
                own, self._first = min(own, size), False
            self._note(name, own + children)

    def unload(self, name: str, work: Callable[[], bool]) -> bool:
        """Measure what comes back while `work` unloads a model; what it gives: whether the model was unloaded."""
        with self._measuring() as measured:
            done = work()
            grown = measured() if done else None
        if grown is not None and sum(grown) < 0:
            with self._lock:
                self._note(name, -sum(grown))
        return done

    def _note(self, name: str, size: int) -> None:
        """Requests that run meanwhile take and give back memory, too, so one measurement alone counts only half."""
        self._measured[name] = (self._measured.get(name, size) + max(0, size)) // 2

    @contextlib.contextmanager
    def _measuring(self) -> Iterator[Callable[[], tuple[int, int] | None]]:
        """Gives a function that tells the growth of this process and of others, None if more went on meanwhile."""
        with self._lock:
            self._active += 1
            self._began += 1
            alone, number = self._active == 1, self._began
        own, children = resident_memory()

        def measured() -> tuple[int, int] | None:
            now_own, now_children = resident_memory()
            with self._lock:
                return (now_own - own, now_children - children) if alone and number == self._began else None

        try:
            yield measured
        finally:
            with self._lock:
                self._active -= 1


def size_on_disk(folder: ModelFolder, config: ModelConfig) -> int:
    """Bytes of the files of the versions that a configuration chooses, once for each instance that it names."""
    versions = take_snapshot(folder).versions
    instances = sum(group.count or 1 for group in config.instance_group) or 1
    chosen = choose_versions(config.version_policy, versions)
    return instances * sum(size for version in chosen for _, size in versions[version].values())
