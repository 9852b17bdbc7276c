"""What a backend raises where some rows of a batch failed and the others did not."""

from collections.abc import Mapping, Sequence

import numpy as np

from tcli_server.errors import InvalidArgumentError, ServerError, error_of_kind


class RowsError(InvalidArgumentError):
    """Some rows of a batch could not be run: only the requests that they are of fail, and nothing runs twice.

    Args:
        errors: row of the batch -> why; at least one.
        outputs: as `Instance.run` returns them; what is in the failed rows is never given to anybody.
    """

    def __init__(self, errors: Mapping[int, ServerError], outputs: Sequence[np.ndarray]) -> None:
        super().__init__(str(errors[min(errors)]))
        self._errors = errors
        self.outputs = outputs

    def of(self, start: int, end: int) -> ServerError | None:
        """Why the request of these rows failed: the first of its rows that did; None if none did."""
        row = min((row for row in self._errors if start <= row < end), default=None)
        if row is None:
            return None
        error = self._errors[row]
        if end - start == 1:
            return error
        return error_of_kind(error.kind, f"item {row - start} of {end - start}: {error}")
