"""Which models may be loaded on demand: those on disk, but for those that were unloaded by request or just failed."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tcli_server.errors import ServerError, UnavailableError
from tcli_server.models.registry import parse_version
from tcli_server.repository import ModelFolder

_FIRST_PAUSE_SECS = 1.0
_LONGEST_PAUSE_SECS = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A model could not be loaded: why, how often in a row, and when it may be tried again (time.monotonic())."""

    reason: str
    count: int
    again: float


class Catalog:
    """Names, without a look at the disk but for `look`; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: Mapping[str, frozenset[int]] = {}
        self._off: set[str] = set()
        self._failures: dict[str, Failure] = {}

    def update(self, folders: Mapping[str, list[ModelFolder]]) -> None:
        """These are on disk now."""
        versions = {
            name: frozenset(found for folder in same for found in _versions(folder)) for name, same in folders.items()
        }
        with self._lock:
            self._versions = versions
            self._failures = {name: failure for name, failure in self._failures.items() if name in versions}

    def __contains__(self, name: str) -> bool:
        return name in self._versions

    def offers(self, name: str, version: str) -> bool:
        """Whether there is such a version on disk.

        Raises:
            InvalidArgumentError: the version is not a number.
        """
        number = parse_version(version)
        versions = self._versions.get(name)
        return versions is not None and (number == -1 or number in versions)

    def refusal(self, name: str) -> ServerError | None:
        """Why a model must not be loaded by a mere request now; None if it may."""
        with self._lock:
            if name in self._off:
                return UnavailableError(f"model '{name}' was unloaded by request; fix: load it by request")
            failure = self._failures.get(name)
        left = failure.again - time.monotonic() if failure is not None else 0.0
        if failure is None or left <= 0:
            return None
        return UnavailableError(f"{failure.reason}; the next attempt is possible in {left:.1f} s")

    def failed(self, name: str, error: BaseException) -> str:
        """Remember that a model could not be loaded; what those are told who wanted it.

        What is only not possible at this moment may be tried again at once.
        """
        if isinstance(error, UnavailableError):
            return str(error)
        reason = f"model '{name}' could not be loaded: {error}"
        with self._lock:
            before = self._failures.get(name)
            count = before.count + 1 if before is not None else 1
            pause = min(_LONGEST_PAUSE_SECS, _FIRST_PAUSE_SECS * 2 ** min(count - 1, 16))
            self._failures[name] = Failure(reason, count, time.monotonic() + pause)
        return reason

    def works(self, name: str) -> None:
        """A model was loaded."""
        with self._lock:
            self._failures.pop(name, None)

    def turn_on(self, name: str) -> None:
        """Somebody asks for a model to be loaded."""
        with self._lock:
            self._off.discard(name)
            self._failures.pop(name, None)

    def turn_off(self, name: str) -> None:
        """Somebody asks for a model to be unloaded: only such a request loads it again."""
        with self._lock:
            if name in self._versions:
                self._off.add(name)


def _versions(folder: ModelFolder) -> list[int]:
    try:
        return folder.versions()
    except ServerError:  # it vanished, or is not ours to read: whoever asks for it will hear
        return []
