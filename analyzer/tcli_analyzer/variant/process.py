"""The near side of a variant's process."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.inputs import Source
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.held import Progress
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.measuring.visit import VisitOptions, longest_visit
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.variant.asked import ANSWER_SECONDS, AskedProcess
from tcli_analyzer.variant.messages import (
    AskProgress,
    CutWindow,
    EndLoad,
    LoadModel,
    MakeRequests,
    MeasureLimit,
    StartLoad,
    Visit,
)


class Variant:
    """A model, from `__enter__` until `__exit__`.

    Args:
        stop: set it, from any thread, to give up whatever goes on.
        memory: bytes that the process may hold; None for nearly all that are free.
        patience: seconds that it may take to load, or to make requests.
    """

    def __init__(
        self,
        repository: Path,
        model: str,
        stop: threading.Event,
        memory: int | None = None,
        patience: float = ANSWER_SECONDS,
    ) -> None:
        self._patience = patience
        self._process = AskedProcess("tcli_analyzer.variant.worker", [str(repository), model], stop, memory)

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

    def load(self, config: ModelConfig | None = None) -> ModelConfig:
        """Load the model with its own configuration or another, in place of what was loaded; answer the complete one.

        Raises:
            InternalError: it cannot be loaded like this, in the server's words.
            VariantDiedError: loading it ended the process.
            Stopped: `stop` was set.
        """
        answer = self._process.ask(
            LoadModel(config.SerializeToString() if config is not None else None), self._patience
        )
        return ModelConfig.FromString(answer)

    def make_requests(self, source: Source, items: int = 1) -> None:
        """The requests for the visits to come; raises as `load`."""
        self._process.ask(MakeRequests(source, items), self._patience)

    def measure_limit(self) -> GeneratorLimit:
        """What its load generator can do at most with the requests that were made; raises as `load`."""
        limit: GeneratorLimit = self._process.ask(MeasureLimit())
        return limit

    def visit(self, load: Load, options: VisitOptions) -> list[Window]:
        """Measure, as `measuring.visit.visit`; raises as `load`, InternalError where a request fails."""
        windows: list[Window] = self._process.ask(Visit(load, options), longest_visit(load, options))
        return windows

    def check_memory(self) -> None:
        """As `AskedProcess.check_memory`."""
        self._process.check_memory()

    def start_load(self, load: Load, items: int) -> list[int]:
        """Put it under a load that goes on until `end_load`; the processes whose time is its own. Raises as `visit`, likewise below."""
        pids: list[int] = self._process.ask(StartLoad(load, items))
        return pids

    def progress(self) -> Progress:
        """How far the window of that load is."""
        found: Progress = self._process.ask(AskProgress())
        return found

    def cut_window(self, at_ns: int) -> Window:
        """End that window at a moment of `perf_counter_ns`."""
        window: Window = self._process.ask(CutWindow(at_ns))
        return window

    def end_load(self) -> None:
        """Returns when all is answered."""
        self._process.ask(EndLoad())
