"""Configurations of a model on this machine, each in a process of its own."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.inputs import Source
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.flaws import judged
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.resources import gpu_handles
from tcli_analyzer.variant import Variant, VariantDiedError
from tcli_analyzer.variant.places import told
from tcli_server.errors import ServerError
from tcli_server.hardware.memory import free_memory

_MEMORY_SHARE = 0.8
"""Of the free memory that another configuration may need without the oldest one going first: guesses are by the largest so far."""


_KEPT = 6
"""Configurations that stay loaded although they are not held: a search comes back to some, and a process takes a second to start."""


class LocalBench:
    """Starts a process for each configuration that is measured, from `__enter__` until `__exit__`.

    Those that are held stay loaded while memory lasts: one that is not asked anything costs memory only, and two that are
    compared should be seconds apart, not two reloads.

    Args:
        repositories: of the model as it is (False) and of the rewritten model (True), see `Configuration.rewritten_model`.
        source: of the requests.
        stop: set it, from any thread, to give up whatever goes on.
        memory: bytes that each process may hold; None for nearly all that are free.

    Attributes:
        limit: of the load generator; None until the first visit.
    """

    def __init__(
        self,
        repositories: Mapping[bool, Path],
        model: str,
        source: Source,
        stop: threading.Event,
        memory: int | None = None,
    ) -> None:
        self._repositories = repositories
        self._model = model
        self._source = source
        self._stop = stop
        self._memory = memory
        self._held: tuple[Configuration, ...] = ()
        self._loaded: dict[Configuration, _Loaded] = {}
        self._largest = 0
        self.limit: GeneratorLimit | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for configuration in list(self._loaded):
            self._close(configuration)

    def hold(self, configurations: Sequence[Configuration]) -> None:
        self._held = tuple(configurations)

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        variant = self.ready(configuration, options.items)
        with self.blamed(configuration):
            windows = judged(variant.visit(load, options), load, self.limit)
        self.measured(configuration, windows)
        return windows

    def ready(self, configuration: Configuration, items: int) -> Variant:
        """Load the configuration if it is not loaded, with requests of so many items; raises as `visit`."""
        with self.blamed(configuration):
            loaded = self._loaded.get(configuration) or self._load(configuration)
            loaded.prepare(items)
            self.limit = self.limit or loaded.variant.measure_limit()
        return loaded.variant

    def is_loaded(self, configuration: Configuration) -> bool:
        """Whether its process is there."""
        return configuration in self._loaded

    @contextmanager
    def blamed(self, configuration: Configuration) -> Iterator[None]:
        """For whatever its variant is asked: a process that ended is put away, and what went wrong is a `CannotMeasureError`."""
        try:
            yield
        except VariantDiedError as error:
            self._close(configuration)
            raise CannotMeasureError(told(str(error), self._repositories[False], self._model)) from None
        except ServerError as error:
            raise CannotMeasureError(told(str(error), self._repositories[False], self._model)) from None

    def measured(self, configuration: Configuration, windows: Sequence[Window]) -> None:
        """Take note that it was: the latest is the last that goes."""
        self._loaded[configuration] = self._loaded.pop(configuration)
        self._largest = max(self._largest, *(int(window.memory_mib * (1 << 20)) for window in windows))

    def _load(self, configuration: Configuration) -> "_Loaded":
        self._make_room()
        variant = Variant(self._repositories[configuration.rewritten_model], self._model, self._stop, self._memory)
        variant.__enter__()
        loaded = self._loaded[configuration] = _Loaded(variant, self._source)
        try:
            variant.load(configuration.config)
        except BaseException:
            self._close(configuration)
            raise
        return loaded

    def _make_room(self) -> None:
        """Close the oldest of those that are not held, where there are many, and then what memory does not suffice for."""
        others = [one for one in self._loaded if one not in self._held]
        kept = 0 if gpu_handles() else _KEPT - 1  # a GPU's memory is seen too late
        for other in others[: max(0, len(others) - kept)]:
            self._close(other)
        while self._loaded and self._largest > _MEMORY_SHARE * free_memory():
            others = [one for one in self._loaded if one not in self._held]
            self._close((others or list(self._loaded))[0])

    def _close(self, configuration: Configuration) -> None:
        loaded = self._loaded.pop(configuration, None)
        if loaded is not None:
            loaded.variant.__exit__(None, None, None)


class _Loaded:
    """A variant and the requests that it has."""

    def __init__(self, variant: Variant, source: Source) -> None:
        self.variant = variant
        self._source = source
        self._items = 0

    def prepare(self, items: int) -> None:
        if self._items != items:
            self.variant.make_requests(self._source, items)
            self._items = items
