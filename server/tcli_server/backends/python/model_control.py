"""What a worker asks about other models: to load and unload them, and whether they are ready.

| message | body | answer |
| --- | --- | --- |
| `load_file` | upload: a number, path, data: base64 of the next piece | |
| `load_dropped` | upload | none: it is told |
| `load_model` | name, config or null, upload or null | when it is loaded |
| `unload_model` | name, unload_dependents | before it is unloaded |
| `model_ready` | name, version | ready |

Loading waits, so these need a thread that may; `load_file` and `load_dropped` of one worker must keep their order.
"""

import base64
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from tcli_server.errors import InvalidArgumentError

Body = Mapping[str, Any]


class Host(Protocol):
    """Who has the models."""

    def load(self, name: str, config: str | None, files: Mapping[str, bytes | memoryview]) -> None:
        """Load a model and wait for it.

        Args:
            config: JSON text in place of the configuration file.
            files: contents by path, in place of the folder.

        Raises:
            ServerError: it cannot be loaded, or nobody may load models now.
        """

    def begin_unload(self, name: str, unload_dependents: bool) -> "Future[None]":
        """Take a model out of service, without waiting; the future has the outcome.

        Raises:
            ServerError: nobody may unload models now.
        """

    def ready(self, name: str, version: str) -> bool:
        """Whether it answers requests; an empty version stands for the one that answers by default.

        Raises:
            NotFoundError: no such model or version is known.
            UnavailableError: it is known but not loaded.
        """


class WorkerModelControl:
    """The requests of one worker; for any thread."""

    KINDS = ("load_file", "load_dropped", "load_model", "unload_model", "model_ready")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._uploads: dict[int, dict[str, bytearray]] = {}

    def answer(self, kind: str, body: Body) -> dict[str, Any]:
        """Do what one of `KINDS` asks.

        Raises:
            ServerError: it cannot be done.
        """
        if kind == "load_file":
            self._take_piece(body)
        elif kind == "load_dropped":
            self._files(body)
        elif kind == "load_model":
            files = {path: memoryview(content) for path, content in self._files(body).items()}
            self._host.load(body["name"], body["config"], files)
        elif kind == "unload_model":
            future = self._host.begin_unload(body["name"], body["unload_dependents"])
            if future.done():
                future.result()
        else:
            return {"ready": self._host.ready(body["name"], _checked_version(body["version"]))}
        return {}

    def close(self) -> None:
        """Forget what was sent and never used: the worker is gone."""
        with self._lock:
            self._uploads.clear()

    def _take_piece(self, body: Body) -> None:
        piece = base64.b64decode(body["data"])
        with self._lock:
            files = self._uploads.setdefault(int(body["upload"]), {})
            files.setdefault(body["path"], bytearray()).extend(piece)

    def _files(self, body: Body) -> dict[str, bytearray]:
        upload = body["upload"]
        with self._lock:
            return {} if upload is None else self._uploads.pop(int(upload), {})


def _checked_version(version: str) -> str:
    if version and not (version.isascii() and version.isdigit()):
        raise InvalidArgumentError(
            f"failed to get model version from specified version string '{version}', version should be an integral value > 0"
        )
    return version
