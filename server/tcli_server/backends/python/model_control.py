"""What a worker asks about other models: to load and unload them, and whether they are ready.

| message | body | answer |
| --- | --- | --- |
| `load_file` | upload: a number, path, data: base64 of the next piece | |
| `load_dropped` | upload | none: it is told |
| `load_model` | name, config or null, upload or null | when it is loaded |
| `unload_model` | name, unload_dependents | before it is unloaded |
| `model_ready` | name, version | ready |

Nothing here waits, so a worker's messages may be handled as they come, in their order.
"""

import base64
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from tcli_server.backends import Host
from tcli_server.errors import InvalidArgumentError, UnavailableError

Body = Mapping[str, Any]
T = TypeVar("T")
Result = dict[str, Any] | Future[dict[str, Any]]


class WorkerModelControl:
    """The requests of one worker.

    Args:
        host: None where no server runs the model.
    """

    KINDS = ("load_file", "load_dropped", "load_model", "unload_model", "model_ready")

    def __init__(self, host: Host | None) -> None:
        self._host = host
        self._uploads: dict[int, dict[str, bytearray]] = {}

    def answer(self, kind: str, body: Body) -> Result:
        """Do what one of `KINDS` asks; in one thread at a time. A future has the answer where it takes a while.

        Raises:
            ServerError: it cannot be done.
        """
        if self._host is None:
            raise UnavailableError("models can be controlled only while a server runs the model that asks")
        if kind == "load_file":
            files = self._uploads.setdefault(int(body["upload"]), {})
            files.setdefault(body["path"], bytearray()).extend(base64.b64decode(body["data"]))
        elif kind == "load_dropped":
            self._files(body)
        elif kind == "load_model":
            uploaded = self._files(body)
            self._host.check_model_control()
            files_of_model = {path: memoryview(content) for path, content in uploaded.items()}
            return _then(self._host.begin_load(body["name"], body["config"], files_of_model), lambda _: {})
        elif kind == "unload_model":
            self._host.check_model_control()
            future = self._host.begin_unload(body["name"], body["unload_dependents"])
            if future.done():
                future.result()
        else:
            name, version = body["name"], _checked_version(body["version"])
            return _then(self._host.begin_model_ready(name, version), lambda ready: {"ready": ready})
        return {}

    def close(self) -> None:
        """Forget what was sent and never used: the worker is gone."""
        self._uploads = {}

    def _files(self, body: Body) -> dict[str, bytearray]:
        upload = body["upload"]
        return {} if upload is None else self._uploads.pop(int(upload), {})


def _then(done: "Future[T]", answer: Callable[[T], dict[str, Any]]) -> Future[dict[str, Any]]:
    result: Future[dict[str, Any]] = Future()

    def hand_on(future: "Future[T]") -> None:
        error = future.exception()
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(answer(future.result()))

    done.add_done_callback(hand_on)
    return result


def _checked_version(version: str) -> str:
    if version and not (version.isascii() and version.isdigit()):
        raise InvalidArgumentError(
            f"failed to get model version from specified version string '{version}', version should be an integral value > 0"
        )
    return version
