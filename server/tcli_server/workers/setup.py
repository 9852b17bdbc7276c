"""What a worker is started with, and which options do not go together with several of them."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.log import LogOptions
from tcli_server.options import EngineOptions
from tcli_server.serving import ServeOptions
from tcli_server.tracing.tracer import Changes
from tcli_server.workers.messages import Operation

_MOST_PER_CORE = 8

SUPERVISORS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal, or systemd, sends to all processes of a server; workers ignore it, as the supervisor decides what it means."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """All that a worker needs to know.

    Attributes:
        workers: how many there are; each takes that share of what is counted in bytes.
        operations: what clients loaded and unloaded since the start, for a worker that takes another's place.
        trace_changes: what they changed of the trace settings of each model, and of the server's.
    """

    repositories: Sequence[Path]
    engine: EngineOptions
    serve: ServeOptions
    log: LogOptions
    workers: int
    operations: Sequence[Operation] = ()
    trace_changes: Mapping[str, Changes] = field(default_factory=dict)

    def check(self) -> None:
        """Whether several workers can do what is asked for.

        Raises:
            InvalidArgumentError: they cannot, with what to do instead.
        """
        reason = self._obstacle()
        if reason:
            raise InvalidArgumentError(reason)
        self.engine.check()

    def _obstacle(self) -> str:
        if sys.platform != "linux":
            return "--workers needs Linux, whose SO_REUSEPORT shares a port among processes; fix: leave --workers out"
        most = _MOST_PER_CORE * len(os.sched_getaffinity(0))
        if self.workers > most:
            return (
                f"--workers {self.workers} on {most // _MOST_PER_CORE} cores: every worker is a process that loads every "
                f"model; fix: at most {most}, and no more than there are cores to be faster"
            )
        one_process = "fix: leave --workers out"
        if self.engine.model_control_mode == "on-demand":
            return (
                "--workers does not go with --model-control-mode=on-demand, whose memory budget is that of one process; "
                f"{one_process}, or use --model-control-mode=explicit"
            )
        if self.engine.model_namespacing:
            return f"--workers does not go with --model-namespacing; {one_process}"
        if self.engine.rate_limit != "off":
            return f"--workers does not go with --rate-limit, whose resources are those of one process; {one_process}"
        return ""

    def of_each(self, operations: Sequence[Operation]) -> "WorkerSetup":
        """What one of the workers is started with.

        Args:
            operations: what clients have loaded and unloaded until now.
        """
        controlled = {operation.name for operation in operations}
        pending = self.engine.max_pending_bytes
        engine = replace(
            self.engine,
            load_models=tuple(name for name in self.engine.load_models if name not in controlled),
            response_cache_byte_size=self.engine.response_cache_byte_size // self.workers,
            trace=replace(self.engine.trace, of_process=True),
            max_pending_bytes=None if pending is None else max(1, pending // self.workers),
        )
        serve = replace(self.serve, allow_metrics=False, reuse_http_port=True, reuse_grpc_port=True)
        return replace(self, engine=engine, serve=serve, operations=operations)
