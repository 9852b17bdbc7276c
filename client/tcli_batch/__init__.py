"""Batch inference: any model over any data, on a server or in this process."""

from typing import TYPE_CHECKING

from tcli_batch.answering import JobOptions
from tcli_batch.errors import DataError, JobError, StoppedError
from tcli_batch.job import Job, Summary, is_done
from tcli_batch.mapping import parse_map
from tcli_batch.parts import Progress
from tcli_batch.signature import Signature, Tensor, read_signature
from tcli_batch.sources.kinds import DataFile, find_data

if TYPE_CHECKING:
    from tcli_batch.local import LocalTransport

__all__ = [
    "DataError",
    "DataFile",
    "Job",
    "JobError",
    "JobOptions",
    "LocalTransport",
    "Progress",
    "Signature",
    "StoppedError",
    "Summary",
    "Tensor",
    "find_data",
    "is_done",
    "parse_map",
    "read_signature",
]


def __getattr__(name: str) -> object:
    """The engine is slow to import, and not needed where a server is asked."""
    if name != "LocalTransport":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from tcli_batch.local import LocalTransport

    return LocalTransport
