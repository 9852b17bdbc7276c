"""Why a model takes no batches."""


class NotBatchableError(Exception):
    """The model takes no batches, or nothing shows that it does; the message says why."""
