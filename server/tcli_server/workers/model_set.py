"""What is loaded in all workers: one order of operations for all of them, also for those that come later."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from tcli_server.errors import InternalError, ServerError
from tcli_server.models.operations import Operations
from tcli_server.observability.log import LOG
from tcli_server.workers.channel import ChannelLostError
from tcli_server.workers.messages import Load, Operation
from tcli_server.workers.process import WorkerProcess


class ModelSet:
    """Hands loads and unloads to every worker.

    Args:
        loads: operations that may run at the same time; those of one model run one after the other.
    """

    def __init__(self, loads: int) -> None:
        self._operations = Operations(loads)
        self._lock = threading.Lock()
        self._members: list[WorkerProcess] = []
        self._done: dict[str, Operation] = {}

    def join(self, worker: WorkerProcess, begin: Callable[[Sequence[Operation]], None]) -> None:
        """Take in a worker, which gets every later operation.

        Args:
            begin: hands it what it has to do of the earlier ones, before anything else.
        """
        with self._lock:
            begin(list(self._done.values()))
            self._members.append(worker)

    def leave(self, worker: WorkerProcess) -> None:
        """A worker has ended, or is to get nothing more."""
        with self._lock:
            if worker in self._members:
                self._members.remove(worker)

    def carry_out(self, operation: Operation) -> "Future[None]":
        """Have every worker do it; the future raises the first ServerError.

        A load is tried in one worker first: what cannot be loaded there changes nothing in the others, and what crashes it
        crashes no other.
        """

        def work() -> None:
            self._carry_out(operation)

        if isinstance(operation, Load):
            return self._operations.load(operation.name, work)
        return self._operations.unload(operation.name, work)

    def stop(self) -> None:
        """Begin no more operations."""
        self._operations.stop()

    def _carry_out(self, operation: Operation) -> None:
        reached: list[WorkerProcess] = []
        earlier_stays = False
        if isinstance(operation, Load):
            first, earlier_stays = self._try_in_one(operation)
            reached.append(first)
        errors: list[ServerError] = []
        while True:
            with self._lock:
                left = [worker for worker in self._members if worker not in reached]
                if not left:
                    before = self._done.pop(operation.name, operation)  # the last one is the last in order, too
                    self._done[operation.name] = before if earlier_stays else operation
                    break
            reached += left
            errors += _outcomes(operation, left)
        if errors:
            raise errors[0]

    def _try_in_one(self, operation: Load) -> tuple[WorkerProcess, bool]:
        """The worker that did it, and whether the configuration of an earlier load is still in force.

        Raises:
            ServerError: it could not.
        """
        with self._lock:
            ready = [worker for worker in self._members if worker.ready.done()]
            first = next(iter(ready or self._members), None)
        if first is None:
            raise InternalError(f"failed to load '{operation.name}': no worker runs at this moment; try again")
        try:
            earlier_stays: bool = first.channel.ask(operation).result()
        except ChannelLostError:
            raise InternalError(
                f"failed to load '{operation.name}': the worker that loaded it first has ended; the others have what they had"
            ) from None
        return first, earlier_stays


def _outcomes(operation: Operation, workers: Sequence[WorkerProcess]) -> list[ServerError]:
    """What went wrong; a worker that ended meanwhile is no failure, as the next in its place does what was done."""
    errors = []
    for worker, outcome in [(worker, worker.channel.ask(operation)) for worker in workers]:
        error = outcome.exception()
        if isinstance(error, ServerError) and not isinstance(error, ChannelLostError):
            LOG.error("worker %d: %s", worker.pid, error)
            errors.append(error)
    return errors
