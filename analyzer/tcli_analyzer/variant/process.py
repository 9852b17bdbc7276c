"""The near side of a variant's process."""

import contextlib
import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.inputs import Source
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.variant.messages import Failure, LoadModel, MakeRequests, Message, Visit, receive, send
from tcli_server.apart import ApartProcess
from tcli_server.errors import InternalError

_LOOK_SECONDS = 0.1


class VariantDiedError(Exception):
    """The variant's process came to an end, or used more memory than it may; the message says how."""


class Variant:
    """A model, from `__enter__` until `__exit__`.

    Args:
        stop: set it, from any thread, to give up whatever goes on.
        memory: bytes that the process may hold; None for nearly all that are free.
    """

    def __init__(self, repository: Path, model: str, stop: threading.Event, memory: int | None = None) -> None:
        self._stop = stop
        self._process = ApartProcess("tcli_analyzer.variant.worker", [str(repository), model], memory)
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._process.__enter__()
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def load(self, config: ModelConfig | None = None) -> ModelConfig:
        """Load the model with its own configuration or another, in place of what was loaded; answer the complete one.

        Raises:
            InternalError: it cannot be loaded like this, in the server's words.
            VariantDiedError: loading it ended the process.
            Stopped: `stop` was set.
        """
        answer = self._ask(LoadModel(config.SerializeToString() if config is not None else None))
        return ModelConfig.FromString(answer)

    def make_requests(self, source: Source, items: int = 1) -> None:
        """The requests for the visits to come; raises as `load`."""
        self._ask(MakeRequests(source, items))

    def visit(self, load: Load, options: VisitOptions) -> list[Window]:
        """Measure, as `measuring.visit.visit`; raises as `load`, InternalError where a request fails."""
        windows: list[Window] = self._ask(Visit(load, options))
        return windows

    def _ask(self, message: Message) -> Any:
        with contextlib.suppress(OSError):  # why it is gone is told below
            send(self._process.input, message)
        while True:
            if self._stop.is_set():
                raise Stopped
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=_LOOK_SECONDS)
                break
            excess = self._process.excess()
            if excess:
                raise VariantDiedError(excess)
        if isinstance(answer, Failure):
            raise InternalError(answer.message)
        if answer is None:
            self._answers.put(None)
            raise VariantDiedError(self._process.death().reason)
        return answer

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError, ValueError):
            while True:
                self._answers.put(receive(self._process.output))
        self._answers.put(None)
