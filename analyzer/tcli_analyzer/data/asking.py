"""Asks a model whether it takes a request, in a process of its own."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.source import DataSource
from tcli_analyzer.data.suiting import Fatal
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.load.sequences import sequences_of
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.variant import Variant, VariantDiedError
from tcli_analyzer.variant.asked import ANSWER_SECONDS
from tcli_analyzer.variant.places import told
from tcli_server.errors import InternalError, ServerError

_ONE = VisitOptions(windows=1, seconds=0.0, requests=1, warm_up_seconds=0.0)


class LoadDiedError(InternalError):
    """Loading the model ended the process that did it, or never ends: nobody should load it once more to find out why."""


class AskedApart:
    """Asks a model in a process of its own, from `__enter__` until `__exit__`: what crashes there is only an answer.

    Args:
        stop, memory, patience: as of `Variant`.

    Attributes:
        config: the model's, complete, once entered.

    Raises:
        LoadDiedError: on entering, loading the model crashes, hangs or takes more memory than there is.
        ServerError: on entering, the model cannot be loaded as it is.
        Stopped: the user asked to stop.
    """

    def __init__(
        self,
        repository: Path,
        model: str,
        stop: threading.Event,
        memory: int | None = None,
        patience: float = ANSWER_SECONDS,
    ) -> None:
        self._repository = repository
        self._model = model
        self._stop = stop
        self._memory = memory
        self._patience = patience
        self._variant: Variant | None = None
        self.config = ModelConfig()

    def __enter__(self) -> Self:
        try:
            self._loaded()
        except VariantDiedError as error:
            self._end()
            raise LoadDiedError(self._told(error)) from None
        except InternalError as error:
            self._end()
            raise InternalError(self._told(error)) from None
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __call__(self, source: DataSource) -> str:
        """As `Answers`."""
        try:
            variant = self._loaded()
            variant.make_requests(source, 1)
            variant.visit(ClosedLoad(1, sequences_of(self.config)), _ONE)
        except VariantDiedError as problem:
            self._end()
            return Fatal(self._told(problem))
        except ServerError as problem:
            return self._told(problem)
        return ""

    def _loaded(self) -> Variant:
        if self._variant is None:
            self._variant = Variant(self._repository, self._model, self._stop, self._memory, self._patience)
            self._variant.__enter__()
            self.config = self._variant.load()
        return self._variant

    def _told(self, problem: Exception) -> str:
        return told(str(problem), self._repository, self._model)

    def _end(self) -> None:
        if self._variant is not None:
            self._variant.__exit__(None, None, None)
            self._variant = None
