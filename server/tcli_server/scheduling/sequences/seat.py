"""One instance and its slots, each of which holds one sequence."""

from tcli_server.scheduling.sequences.run import Run
from tcli_server.scheduling.worker import Worker


class Seat:
    """An instance's worker and its slots.

    Attributes:
        rows: the sequence in each slot.
        parked: the worker waits.
    """

    __slots__ = ("number", "parked", "rows", "worker")

    def __init__(self, number: int, worker: Worker, size: int) -> None:
        self.number = number
        self.worker = worker
        self.rows: list[Run | None] = [None] * size
        self.parked = False

    @property
    def empty(self) -> bool:
        """Whether no slot is taken."""
        return not any(run is not None for run in self.rows)

    def wake(self) -> None:
        """Have the worker look at what there is; with the scheduler's lock held."""
        if self.parked:
            self.parked = False
            self.worker.parking.leave()
