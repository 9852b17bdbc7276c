"""What can be chosen about traces."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.written_file import why_unwritable

MAX_UINT32 = 2**32 - 1
MAX_INT32 = 2**31 - 1


class TraceLevel(Flag):
    """What is traced of a request: nothing, or either of the others, or both. Names are Triton's."""

    OFF = 0
    TIMESTAMPS = 1
    TENSORS = 2


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """What clients may change while the server runs; of the server, or of one model. Names and defaults are Triton's.

    Attributes:
        level: what is traced of a request; `OFF` for no traces.
        rate: one request in so many is traced. 0: none but those that come with a context in which their parent is traced.
        count: so many requests are traced, and then no more; -1 for any number.
        log_frequency: so many traces go to a file, whose name ends with its number; 0 for one file for all.
    """

    level: TraceLevel = TraceLevel.OFF
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """How a server traces; names and defaults are Triton's.

    Attributes:
        mode: `triton` writes a file, `opentelemetry` sends spans to a collector.
        settings: what it begins with.
        file: of the mode `triton`; what is there is replaced when the first trace is written.
        of_process: each process writes a file of its own, whose name has the process's number behind that of `file`.
        url: of the mode `opentelemetry`; empty for what OpenTelemetry's environment variables say, or
            `http://localhost:4318/v1/traces`.
        resource: attributes of the server in all its spans.
        bsp_max_queue_size: spans that wait to be sent; more are dropped.
        bsp_schedule_delay: milliseconds between two batches that are not full.
        bsp_max_export_batch_size: spans of one batch.
    """

    mode: Literal["triton", "opentelemetry"] = "triton"
    settings: TraceSettings = field(default_factory=TraceSettings)
    file: str = ""
    of_process: bool = False
    url: str = ""
    resource: Mapping[str, str] = field(default_factory=dict)
    bsp_max_queue_size: int = 2048
    bsp_schedule_delay: int = 5000
    bsp_max_export_batch_size: int = 512

    def obstacle(self, settings: TraceSettings) -> str:
        """Why nothing can be traced with these settings, in Triton's words; empty if something can, or shall not."""
        if not settings.level:
            return ""
        if self.mode == "triton":
            return "" if self.file else "trace file name is not given"
        return "" if settings.level & TraceLevel.TIMESTAMPS else "trace level TENSORS alone leaves nothing for spans"

    def check(self) -> None:
        """Whether all that was chosen goes together, and there is something to write to: who learns at the first trace that there
        is none has no traces.

        Raises:
            InvalidArgumentError: it does not.
        """
        obstacle = self.obstacle(self.settings)
        if obstacle:
            fix = "triton,file=FILE" if self.mode == "triton" else "level=TIMESTAMPS"
            raise InvalidArgumentError(f"{obstacle}: use --trace-config {fix}")
        if self.file and (reason := why_unwritable(Path(self.file))):
            raise InvalidArgumentError(
                f"trace file '{self.file}' cannot be written: {reason}; fix: name a file in a folder that is there, with "
                "--trace-config triton,file=FILE"
            )
        if self.url and not _is_http(self.url):
            raise InvalidArgumentError(
                f"trace url '{self.url}' is not an address of HTTP; fix: --trace-config "
                "opentelemetry,url=http://HOST:4318/v1/traces"
            )
        if self.bsp_max_export_batch_size > self.bsp_max_queue_size:
            raise InvalidArgumentError(
                f"bsp_max_export_batch_size {self.bsp_max_export_batch_size} is more than bsp_max_queue_size "
                f"{self.bsp_max_queue_size}, so that no batch would ever be full"
            )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        return False
