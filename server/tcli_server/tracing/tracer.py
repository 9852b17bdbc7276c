"""Chooses the requests that are traced, by settings that clients change while the server runs."""

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tcli_server.errors import InvalidArgumentError
from tcli_server.request import InferenceRequest
from tcli_server.tracing.collector import Collector, Exporter
from tcli_server.tracing.context import new_context, read_context
from tcli_server.tracing.options import TraceOptions, TraceSettings
from tcli_server.tracing.sampler import Sampler
from tcli_server.tracing.trace import Trace
from tcli_server.tracing.trace_file import TraceFile

Changes = Mapping[str, Any]
"""Fields of `TraceSettings` with new values; None for what the server has, or, of the server, what it was started with."""


class Tracer:
    """One for each engine.

    Attributes:
        on: whether any request may have to be traced: all that is looked at otherwise.

    Raises:
        InvalidArgumentError: options that contradict each other.
        UnavailableError: a package that the mode needs is missing.
    """

    def __init__(self, options: TraceOptions) -> None:
        options.check()
        self.options = options
        self.on = False
        self._lock = threading.Lock()
        self._changes: dict[str, dict[str, Any]] = {}
        self._server = Sampler(options.settings)
        self._models: dict[str, Sampler] = {}
        self._collector = Collector(_exporter(options))
        self._look()

    def settings(self, model: str = "") -> TraceSettings:
        """The server's, or a model's."""
        return self._models.get(model, self._server).settings

    def check(self, model: str, changes: Changes) -> None:
        """Whether the settings can be changed so.

        Raises:
            InvalidArgumentError: what would come of it traces nothing, and says that it did.
        """
        self._checked(model, changes)

    def change(self, model: str, changes: Changes) -> None:
        """Change the settings of a model, or, without a name, of the server; what they leave open, models have from the server.

        Raises:
            InvalidArgumentError: as `check`.
        """
        with self._lock:
            table = self._checked(model, changes)
            before, self._changes = self._changes, table
            if table.get("") != before.get(""):
                self._server = Sampler(self._of(table, ""))
            models = {}
            for name in table:
                if name:
                    settings, had = self._of(table, name), self._models.get(name)
                    models[name] = had if had is not None and had.settings == settings else Sampler(settings)
            self._models = models
            self._look()

    def _checked(self, model: str, changes: Changes) -> dict[str, dict[str, Any]]:
        """All changes, with these."""
        table = {name: dict(known) for name, known in self._changes.items()}
        own = {**table.get(model, {}), **changes}
        own = {name: value for name, value in own.items() if value is not None}
        if own:
            table[model] = own
        else:
            table.pop(model, None)
        settings = self._of(table, model)
        obstacle = self.options.obstacle(settings)
        if not obstacle and settings.level and not settings.rate:
            obstacle = "sample rate must be non-zero"
        if obstacle:
            raise InvalidArgumentError(f"Attempting to set invalid trace setting :{obstacle}")
        return table

    def _of(self, table: Mapping[str, Mapping[str, Any]], model: str) -> TraceSettings:
        return replace(self.options.settings, **{**table.get("", {}), **table.get(model, {})})

    def _look(self) -> None:
        self.on = any(one.settings.level for one in (self._server, *self._models.values()))

    def begin(self, request: InferenceRequest, parent: str = "", state: str = "") -> Trace | None:
        """Trace the request if it is one of those; whoever calls closes the trace, and may stamp it before.

        Args:
            parent: the client's `traceparent`; likewise `state`.
        """
        sampler = self._models.get(request.model_name, self._server)
        spans = self.options.mode == "opentelemetry"
        told = read_context(parent, state) if spans and parent else None
        if not sampler.take(told is not None and told.sampled):
            return None
        context = (told.child() if told is not None else new_context()) if spans else None
        trace = Trace(sampler.settings, context, told, self._collector.put)
        request.trace = trace.begin(None)
        return trace

    @property
    def lost(self) -> int:
        """Traces that could not be written."""
        return self._collector.lost

    def close(self) -> None:
        """Write what waits."""
        self._collector.close()


def _exporter(options: TraceOptions) -> Exporter:
    if options.mode == "triton":
        return TraceFile(f"{options.file}.{os.getpid()}" if options.of_process else options.file)
    from tcli_server.tracing.opentelemetry import SpanExporter

    return SpanExporter(options)
