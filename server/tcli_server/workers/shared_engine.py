"""The engine of one worker, which speaks for all of them."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import count
from typing import cast

from tritonclient.grpc import service_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.engine import Engine
from tcli_server.errors import ServerError
from tcli_server.models.registry import UNLOADED, State
from tcli_server.observability.log import LOG, LogOptions
from tcli_server.observability.metrics import engine_families
from tcli_server.observability.undisturbed import without_collections
from tcli_server.tracing.tracer import Changes
from tcli_server.workers.channel import Channel
from tcli_server.workers.messages import (
    AskStatistics,
    CarryOut,
    ChangeLog,
    ChangeTrace,
    Load,
    NotLoaded,
    Opened,
    Operation,
    Report,
    Unload,
)
from tcli_server.workers.setup import WorkerSetup

_STATISTICS_SECS = 10.0
"""The supervisor waits less long for each worker."""


class SharedEngine(Engine):
    """An engine whose model control and statistics are those of all workers: it asks the supervisor for both."""

    def __init__(self, setup: WorkerSetup) -> None:
        super().__init__(*setup.repositories, options=setup.engine)
        for model, changes in setup.trace_changes.items():
            self.tracer.change(model, changes)
        self._channel: Channel | None = None
        self._order = threading.Lock()
        self._earlier = {operation.name: operation for operation in setup.operations}  # what is still to be done of it
        self._unloaded: dict[str, Unload] = {}  # during the start, by the name of the model
        self._caught_up = False
        self._reporting = threading.Lock()
        self._report_numbers = count()
        self._last: Report | None = None

    def connect(self, channel: Channel) -> None:
        """Speak to the supervisor from now on."""
        self._channel = channel

    # --- for clients ---

    def begin_load(
        self, name: str, config: str | ModelConfig | None = None, files: Mapping[str, bytes | memoryview] | None = None
    ) -> "Future[None]":
        """As `Engine.begin_load`, in every worker."""
        try:
            self.options.check_pushed(config, files)
        except ServerError as error:
            refused: Future[None] = Future()
            refused.set_exception(error)
            return refused
        return self._ask(Load(name, config, {path: bytes(content) for path, content in (files or {}).items()}))

    def begin_unload(self, name: str, unload_dependents: bool = False) -> "Future[None]":
        """As `Engine.begin_unload`, in every worker."""
        return self._ask(Unload(name, unload_dependents))

    def change_log(self, options: LogOptions) -> "Future[None]":
        """As `Engine.change_log`, in every worker."""
        return self._ask(ChangeLog(options))

    def change_trace(self, model: str, changes: Changes) -> "Future[None]":
        """As `Engine.change_trace`, in every worker."""
        self.tracer.check(model, changes)
        return self._ask(ChangeTrace(model, changes))

    def _ask(self, question: Operation | ChangeLog | ChangeTrace) -> "Future[None]":
        assert self._channel is not None
        return self._channel.ask(question)

    def statistics(self, name: str = "", version: str = "") -> service_pb2.ModelStatisticsResponse:
        """As `Engine.statistics`, of all workers together."""
        here = super().statistics(name, version)
        assert self._channel is not None
        asked = self._channel.ask(AskStatistics(self.report()))
        try:
            together = service_pb2.ModelStatisticsResponse.FromString(cast(bytes, asked.result(_STATISTICS_SECS)))
        except (ServerError, FutureTimeoutError) as error:
            LOG.warning("the statistics are those of one worker, as the supervisor does not answer: %s", error)
            return here
        found = {(one.name, one.version): one for one in together.model_stats}
        return service_pb2.ModelStatisticsResponse(
            model_stats=[found.get((one.name, one.version), one) for one in here.model_stats]
        )

    # --- for the supervisor ---

    def carry_out(self, order: CarryOut) -> "Future[bool]":
        """Load or unload here; the future raises as `Engine.load`.

        Returns:
            Of a load, whether a configuration that was given with an earlier one is still in force, as the folder has not
            changed since; of an unload, whether anything is known of the model.
        """
        operation = order.operation
        done: Future[bool] = Future()

        def settle(finished: "Future[None]") -> None:
            error = finished.exception()
            if error is not None:
                done.set_exception(error)
            elif isinstance(operation, Unload):
                done.set_result(operation.name in self._control.registry.names())
            else:
                source = self._control.registry.source(operation.name)
                done.set_result(source is not None and source.override is not None and operation.config is None)

        def agree() -> None:
            assert self._channel is not None
            self._channel.ask(Opened(order.number)).result()

        with self._order:
            earlier = self._earlier.pop(operation.name, None)
            if earlier is not None and isinstance(operation, Load) and operation.config is None:
                self._begin(earlier)  # whose configuration stays in force, unless the folder has changed
            self._unloaded.pop(operation.name, None)
            if isinstance(operation, Unload) and not self._caught_up:
                self._unloaded[operation.name] = operation
            self._begin(operation, agree).add_done_callback(settle)
        return done

    def catch_up(self) -> None:
        """Once started, do what was asked before this worker was there, unless something newer was asked for meanwhile.

        What fails is logged.
        """
        while True:
            with self._order:
                if self._earlier:
                    future = self._begin(self._earlier.pop(next(iter(self._earlier))))
                elif self._unloaded:  # again, as the start may have come to it later
                    future = self._begin(self._unloaded.popitem()[1])
                else:
                    self._caught_up = True
                    return
            future.exception()

    def _begin(self, operation: Operation, agree: Callable[[], None] | None = None) -> "Future[None]":
        if isinstance(operation, Load):
            return self._begin_load(operation.name, operation.config, operation.files, agree)
        return super().begin_unload(operation.name, operation.dependents)

    def failure(self, name: str) -> NotLoaded | None:
        """Why a model could not be loaded, None if there is a copy of it."""
        if self._control.registry.loaded(name):
            return None
        rows = list(self._control.registry.rows(name)) if name in self._control.registry.names() else []
        reasons = {
            version: reason for version, state, reason in rows if state == State.UNAVAILABLE and reason != UNLOADED
        }
        return NotLoaded(name, reasons.pop("", ""), {int(version): reason for version, reason in reasons.items()})

    def show_failure(self, shown: NotLoaded) -> None:
        """Show a model as one that could not be loaded, unless there is a copy of it."""
        if shown.reason or shown.versions:
            self._control.registry.failed(shown.name, shown.reason, dict(shown.versions))

    def report(self, last: bool = False) -> Report:
        """What this worker has counted.

        Args:
            last: it counts no more, and says the same from now on.
        """
        with self._reporting:
            if self._last is not None:
                return self._last
            statistics = super().statistics().SerializeToString()
            with without_collections():
                report = Report(next(self._report_numbers), statistics, list(engine_families(self)))
            if last:
                self._last = report
            return report
