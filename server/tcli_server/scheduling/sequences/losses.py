"""Sequences whose instance has lost what it knew of them: their clients are told, each once, instead of going on."""

from collections import OrderedDict

from tcli_server.errors import UnavailableError

_MOST = 10_000
"""Sequences that are remembered until their client comes again."""


class Losses:
    """Of one model; with the scheduler's lock held."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._untold: OrderedDict[int | str, bool] = OrderedDict()

    def remember(self, sequence_id: int | str) -> None:
        """Nothing of this sequence waits, so there is nobody to tell yet."""
        self._untold[sequence_id] = True
        if len(self._untold) > _MOST:
            self._untold.popitem(last=False)

    def check(self, sequence_id: int | str) -> None:
        """Tell a client that goes on with a sequence which was lost.

        Raises:
            UnavailableError: it was, and the client has not been told.
        """
        if self._untold.pop(sequence_id, False):
            raise self.error(sequence_id)

    def error(self, sequence_id: int | str) -> UnavailableError:
        """What the client of a lost sequence is told."""
        return UnavailableError(
            f"the process of model '{self._model}' ended, and with it the state of sequence {sequence_id}; fix: start the "
            "sequence anew"
        )
