"""Batch inference: any model over any data, on a server or in this process."""

from tcli_batch.errors import DataError, JobError, StoppedError
from tcli_batch.job import Job, JobOptions, Summary
from tcli_batch.local import LocalTransport
from tcli_batch.mapping import parse_map
from tcli_batch.parts import Progress
from tcli_batch.signature import Signature, Tensor, read_signature
from tcli_batch.sources.kinds import DataFile, find_data

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
    "parse_map",
    "read_signature",
]
