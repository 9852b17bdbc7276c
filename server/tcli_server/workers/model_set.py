"""What is loaded in all workers: one order of operations for all of them, also for those that come later."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import count

from tritonclient.grpc import service_pb2

from tcli_server.errors import InternalError, ServerError, UnavailableError, error_of_kind
from tcli_server.models.operations import Operations
from tcli_server.models.registry import UNLOADED, State
from tcli_server.observability.log import LOG
from tcli_server.workers.agreement import Agreement
from tcli_server.workers.channel import ChannelLostError
from tcli_server.workers.messages import AskFailure, CarryOut, Load, NotLoaded, Operation, Unload
from tcli_server.workers.process import WorkerProcess


class ModelSet:
    """Hands loads and unloads to every worker.

    Args:
        loads: operations that may run at the same time; those of one model run one after the other.
    """

    def __init__(self, loads: int) -> None:
        self._operations = Operations(loads)
        self._numbers = count()
        self._lock = threading.Lock()
        self._members: list[WorkerProcess] = []
        self._done: dict[str, Operation] = {}
        self._agreements: dict[int, Agreement] = {}

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

        A load is tried in one worker first, so that what crashes it crashes no other. No worker publishes what it has opened
        before all have opened it; if one cannot, all keep what they had.
        """
        if isinstance(operation, Load):
            return self._operations.load(operation.name, lambda: self._load(operation))
        return self._operations.unload(operation.name, lambda: self._unload(operation))

    def opened(self, number: int, worker: WorkerProcess) -> "Future[None]":
        """A worker has opened what an operation loads; the future is the verdict of all.

        Raises:
            UnavailableError: the operation is over.
        """
        with self._lock:
            agreement = self._agreements.get(number)
        if agreement is None:
            raise UnavailableError("this load is over")
        return agreement.opened(worker)

    def stop(self) -> None:
        """Begin no more operations."""
        self._operations.stop()

    def settle(self, indexes: Mapping[WorkerProcess, service_pb2.RepositoryIndexResponse]) -> None:
        """Take out of all workers what not all of them could load at their start.

        Args:
            indexes: of each worker.
        """
        failed = {worker: failed_models(index) for worker, index in indexes.items()}
        for name in sorted({name for of_one in failed.values() for name in of_one}):
            having = [worker for worker, of_one in failed.items() if name not in of_one]
            if not having:
                continue
            lacking, reason = next((worker, of_one[name]) for worker, of_one in failed.items() if name in of_one)
            reason = f"{reason} (in worker {lacking.pid}; {len(having)} of {len(indexes)} workers could)"
            LOG.error("'%s' is served by no worker: %s", name, reason)
            unload = CarryOut(next(self._numbers), Unload(name))
            with self._lock:
                self._record(unload.operation)  # also for who comes later and could load it
            for worker in having:
                worker.carry_out(unload).exception()
                worker.channel.ask(NotLoaded(name, reason, {})).exception()

    # --- unload ---

    def _unload(self, operation: Unload) -> None:
        message = CarryOut(next(self._numbers), operation)
        reached: list[WorkerProcess] = []
        errors: list[ServerError] = []
        known = False
        while True:
            with self._lock:
                left = [worker for worker in self._members if worker not in reached]
                if not left:
                    if known:  # names that somebody makes up are not kept
                        self._record(operation)
                    break
            reached += left
            for worker, outcome in [(worker, worker.carry_out(message)) for worker in left]:
                error = outcome.exception()
                known = known or (error is None and outcome.result())
                if isinstance(error, ServerError) and not isinstance(error, ChannelLostError):
                    LOG.error("worker %d: %s", worker.pid, error)
                    errors.append(error)
        if errors:
            raise errors[0]

    # --- load ---

    def _load(self, operation: Load) -> None:
        number = next(self._numbers)
        agreement = Agreement(number, operation)
        with self._lock:
            self._agreements[number] = agreement
        try:
            first = self._try_in_one(operation, agreement)
            self._try_in_all(operation, agreement, first)
        finally:
            with self._lock:
                del self._agreements[number]
        late = agreement.late_failures()
        if late:
            where = ", ".join(f"worker {worker.pid}" for worker in late)
            error = next(iter(late.values()))
            raise error_of_kind(
                error.kind, f"{error} (only in {where}; the other workers have loaded it: load it again)"
            )

    def _try_in_one(self, operation: Load, agreement: Agreement) -> WorkerProcess:
        """The worker that has opened it.

        Raises:
            ServerError: it could not.
        """
        with self._lock:
            ready = [worker for worker in self._members if worker.ready.done()]
            first = next(iter(ready or self._members), None)
        if first is None:
            raise InternalError(f"failed to load '{operation.name}': no worker runs at this moment; try again")
        agreement.begin(first)
        error = agreement.failure(first)
        if isinstance(error, ChannelLostError):
            raise InternalError(
                f"failed to load '{operation.name}': the worker that loaded it first has ended; the others have what they had"
            )
        if error is not None:
            self._tell_others(operation.name, first)
            raise error
        return first

    def _tell_others(self, name: str, first: WorkerProcess) -> None:
        """Have the workers that did not try to load a model show why it could not be loaded."""
        asked: Future[NotLoaded | None] = first.channel.ask(AskFailure(name))
        shown = asked.result() if asked.exception() is None else None
        if shown is None:
            return
        with self._lock:
            others = [worker for worker in self._members if worker is not first]
        for told in [worker.channel.ask(shown) for worker in others]:
            told.exception()

    def _try_in_all(self, operation: Load, agreement: Agreement, first: WorkerProcess) -> None:
        """Have the others open it, also those that come meanwhile, and then all publish it.

        Raises:
            ServerError: one of them could not.
        """
        while True:
            with self._lock:
                left = [worker for worker in self._members if worker not in agreement]
                if not left:
                    # Before anybody else joins: who does so later does it as one of the earlier operations.
                    self._record(operation, earlier_stays=agreement.had_nothing_to_do(first))
                    agreement.accept()
                    return
            for worker in left:
                agreement.begin(worker)
            failures = [(worker, agreement.failure(worker)) for worker in left]
            for worker, error in failures:
                if error is not None and not isinstance(error, ChannelLostError):
                    refusal = error_of_kind(
                        error.kind, f"{error} (in worker {worker.pid}; others could, but all keep what they had)"
                    )
                    LOG.error("%s", refusal)
                    agreement.refuse(refusal)
                    raise refusal

    def _record(self, operation: Operation, earlier_stays: bool = False) -> None:
        before = self._done.pop(operation.name, operation)  # the last one is the last in order, too
        self._done[operation.name] = before if earlier_stays else operation


def failed_models(index: service_pb2.RepositoryIndexResponse) -> dict[str, str]:
    """Name -> reason, of the models that a worker could not load."""
    return {
        entry.name: entry.reason
        for entry in index.models
        if entry.state == State.UNAVAILABLE and entry.reason != UNLOADED
    }
