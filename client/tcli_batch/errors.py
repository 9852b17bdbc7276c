"""What stops a batch job, and what is wrong with one row of it."""

from tcli_client import ClientError


class DataError(ClientError):
    """The data cannot be read at all, or no row of it fits the model."""


class UnreadableError(DataError):
    """One file cannot be read, or not to its end; others may."""


class JobError(ClientError):
    """The job cannot begin or go on: an output that is there, a journal of something else, a full disk."""


class RowError(Exception):
    """One row cannot be read or does not fit the model; the message says why, and the job goes on without it."""


class StoppedError(Exception):
    """The job was asked to stop, and did: what was answered is kept."""
