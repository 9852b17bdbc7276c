"""Load on a server's model, from a process of its own: whatever this one does meanwhile makes no request late."""

import threading
from types import TracebackType
from typing import Self

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.inputs import Source
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions, longest_visit
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.remote.messages import MakeRequestsFor
from tcli_analyzer.variant.asked import AskedProcess
from tcli_analyzer.variant.messages import Visit


class Generator:
    """Sends requests from `__enter__` until `__exit__`; every method raises as `AskedProcess.ask`.

    Args:
        url: of the server, with its scheme.
        stop: set it, from any thread, to give up whatever goes on.
    """

    def __init__(self, url: str, model: str, source: Source, stop: threading.Event) -> None:
        self._process = AskedProcess("tcli_analyzer.remote.worker", [url, model], stop)
        self._source = source
        self._made: tuple[bytes, int] | None = None

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def renew(self) -> None:
        """Take new connections for what comes: processes that a server starts for a model may hold those it has open then.

        What is left of a server that has ended would be asked on them for long.
        """
        self._made = None

    def visit(self, config: ModelConfig, load: Load, options: VisitOptions) -> list[Window]:
        """Measure what is loaded with this configuration, as `measuring.visit.visit`."""
        seen = _seen_by_clients(config)
        if self._made != (seen, options.items):
            self._made = None
            self._process.ask(MakeRequestsFor(config.SerializeToString(), self._source, options.items))
            self._made = (seen, options.items)
        windows: list[Window] = self._process.ask(Visit(load, options), longest_visit(load, options))
        return windows


def _seen_by_clients(config: ModelConfig) -> bytes:
    """What requests depend on."""
    seen = ModelConfig(max_batch_size=min(1, config.max_batch_size), input=config.input)
    return bytes(seen.SerializeToString(deterministic=True))
