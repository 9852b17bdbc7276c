"""How free instances divide what is queued."""

from collections.abc import Sequence

from tcli_server.backends import Placement


class Sharing:
    """Instances on the same processor share what is queued evenly, as one that took everything would leave the others'
    cores idle. On a GPU one large batch beats several small ones side by side, so there nobody holds back.
    """

    def __init__(self, placements: Sequence[Placement]) -> None:
        self._sharers = len(placements) if all(placement.gpu is None for placement in placements) else 1

    def limit(self, limit: int, queued: int, busy: int) -> int:
        """Inferences that the next batch may have.

        Args:
            limit: the most that a batch can have.
            queued: inferences that wait.
            busy: instances that run a batch.
        """
        free = self._sharers - busy
        return min(limit, -(-queued // free)) if free > 1 else limit
