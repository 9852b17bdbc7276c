"""What loading on demand has done so far, by model; it goes on counting over unloads."""

import threading
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Of one model.

    Attributes:
        loads: how often it was loaded; `load_ns` is how long that took together.
        failures: how often it could not be loaded.
        waits: requests that waited for it to be loaded; `wait_ns` is how long they did, together.
    """

    loads: int = 0
    load_ns: int = 0
    failures: int = 0
    waits: int = 0
    wait_ns: int = 0


class Tallies:
    """A tally for each model that was ever asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, Tally] = {}

    def loaded(self, name: str, duration_ns: int) -> None:
        """A model was loaded."""
        with self._lock:
            tally = self._by_name.setdefault(name, Tally())
            tally.loads += 1
            tally.load_ns += duration_ns

    def failed(self, name: str) -> None:
        """A model could not be loaded."""
        with self._lock:
            self._by_name.setdefault(name, Tally()).failures += 1

    def waited(self, name: str, duration_ns: int) -> None:
        """A request has waited for its model, which is there now."""
        with self._lock:
            tally = self._by_name.setdefault(name, Tally())
            tally.waits += 1
            tally.wait_ns += duration_ns

    def by_name(self) -> list[tuple[str, Tally]]:
        """Every tally, in the order of the names."""
        with self._lock:
            return sorted(self._by_name.items())
