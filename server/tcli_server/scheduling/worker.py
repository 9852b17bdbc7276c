"""The thread of one instance: takes batches and runs them, until there are none left."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tcli_server.observability.log import LOG
from tcli_server.request import FailureReason, InferenceRequest, InferenceResponse
from tcli_server.scheduling import PlacedInstance
from tcli_server.scheduling.answering import AnsweringExecutor, AnyExecutor
from tcli_server.scheduling.execution import Executor, Outcome
from tcli_server.scheduling.garbage import held_up_ns
from tcli_server.scheduling.parking import ParkingSpace
from tcli_server.scheduling.quickness import QUICK_NS, Quickness

_REST_SECS = 0.2

_LIGHT = 1 << 18
"""Bytes of inputs that are copied in next to no time."""

Take = Callable[["Worker"], tuple[int, Sequence[InferenceRequest]] | None]


class Worker:
    """Feeds one instance, or one lane of it.

    Args:
        take: gives the next batch and its number; None ends the thread, which closes the instance.
        ran: told when a batch has run, before its responses are sent.
        send: calls the second argument when the responses of the batch of that number may leave; None if they always may.
        close: closes the instance; None if this is its only worker.

    Attributes:
        close: to be called once, by the thread at its end or by whoever could not start it.
        retired: set by whoever no longer wants this instance.
    """

    def __init__(
        self,
        placed: PlacedInstance,
        executor: AnyExecutor,
        take: Take,
        ran: Callable[["Worker"], None],
        send: Callable[[int, Callable[[], None]], None] | None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.placed = placed
        self.close = close or placed.instance.close
        self.parking = ParkingSpace()
        self.retired = False
        self._begun: tuple[int, Sequence[InferenceRequest]] | None = None
        self._executor = executor
        self._quickness = Quickness(executor.steady_limit)
        self._take = take
        self._ran = ran
        self._send = send
        self._thread = threading.Thread(target=self._work, name=placed.placement.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the last batch is answered."""
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def owes(self) -> bool:
        """Whether its instance is still to answer something that it has taken."""
        return bool(self._executor.open)

    @property
    def quick_limit(self) -> int:
        """Inferences that are sure to take so little time that any thread may run them."""
        return self._quickness.limit

    @property
    def answers_later(self) -> bool:
        """Whether any thread may `begin_here` a batch that is `light`."""
        return self._executor.answers_later and self._executor.fit

    @property
    def fit(self) -> bool:
        """Whether its instance can run a batch now."""
        return self._executor.fit

    @property
    def together(self) -> int:
        """Requests that its instance may be given together although they share no batch."""
        return self._executor.together

    @property
    def generation(self) -> int:
        """Grows when its instance loses what earlier requests left in it."""
        return self._executor.generation

    def rests(self, workers: "Sequence[Worker]") -> bool:
        """Wait a moment if its instance cannot run a batch now, and others can or it soon will; whether that is so still."""
        executor = self._executor
        if executor.fit or isinstance(executor, Executor):
            return False
        is_certain = executor.await_fit(_REST_SECS)
        return not executor.fit and (not is_certain or any(worker.fit for worker in workers))

    def run_here(self, batch: Sequence[InferenceRequest]) -> list[Outcome]:
        """Run a batch in the calling thread while this worker's own is parked; raises nothing."""
        held_ns, began_ns, processor_ns = held_up_ns(), time.monotonic_ns(), time.thread_time_ns()
        outcomes = self._executor.run(batch)
        held_ns = held_up_ns() - held_ns
        took_ns = time.monotonic_ns() - began_ns - held_ns
        # The thread's own time is a system call: it is asked for again only where it could be far less.
        used_ns = took_ns if took_ns <= QUICK_NS else time.thread_time_ns() - processor_ns - held_ns
        self._quickness.ran(batch, _all_answered(batch, outcomes), took_ns, used_ns)
        return outcomes

    def begin_here(self, batch: Sequence[InferenceRequest]) -> int | list[Outcome] | None:
        """As `AnsweringExecutor.begin`, while this worker's own thread is parked."""
        assert isinstance(self._executor, AnsweringExecutor)
        return self._executor.begin(batch)

    def finish_here(self) -> list[Outcome] | bool:
        """As `AnsweringExecutor.finish`."""
        assert isinstance(self._executor, AnsweringExecutor)
        return self._executor.finish()

    def take_over(self, number: int, batch: Sequence[InferenceRequest]) -> None:
        """Have this worker's own thread go on with a batch that the caller began."""
        self._begun = number, batch
        self.parking.leave()

    def begun(self) -> tuple[int, Sequence[InferenceRequest]] | None:
        """The batch that this worker has to go on with, once."""
        begun, self._begun = self._begun, None
        return begun

    def send(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Give out what became of the batch of that number, when its turn has come."""
        if self._send is None:
            _send_all(outcomes)
        else:
            self._send(number, partial(_send_all, outcomes))

    def _work(self) -> None:
        while (taken := self._take(self)) is not None:
            number, batch = taken
            # Not the time of day: others may hold the interpreter meanwhile.
            began_ns = time.thread_time_ns() - held_up_ns()
            outcomes = self._executor.run(batch)
            took_ns = time.thread_time_ns() - held_up_ns() - began_ns
            self._quickness.ran(batch, _all_answered(batch, outcomes), took_ns, took_ns)
            self._ran(self)
            self.send(number, outcomes)
        try:
            self.close()
        except Exception:
            LOG.exception("instance '%s' could not be closed", self.placed.placement.name)


def is_light(batch: Iterable[InferenceRequest]) -> bool:
    """Whether the inputs are copied in so little time that any thread may do it."""
    return sum([request.byte_size for request in batch]) <= _LIGHT


def _all_answered(batch: Sequence[InferenceRequest], outcomes: Sequence[Outcome]) -> bool:
    """Whether every request ran, and ran well; some may have ended before."""
    return len(outcomes) == len(batch) and all(isinstance(result, InferenceResponse) for _, result in outcomes)


def _send_all(outcomes: Sequence[Outcome]) -> None:
    for request, result in outcomes:
        if isinstance(result, InferenceResponse):
            request.send(result)
        else:
            request.fail(result, FailureReason.BACKEND)
