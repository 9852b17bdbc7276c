"""Who runs when: the queue of a model, how requests in it become batches, and the threads that run them.

A model has one scheduler, which `scheduler_for` chooses from its configuration:

    scheduler = scheduler_for(config, spec, instances, statistics)
    taken = scheduler.submit(request)   # True: the request will end, whatever happens
    scheduler.stop()                    # nothing new; what is queued still runs
    scheduler.join(timeout=30)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tcli_server.backends import Instance, Placement
from tcli_server.request import InferenceRequest


class Later(Protocol):
    """How a caller that submits many requests puts off the waking of workers, and hears of what comes later."""

    def call(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, soon, however often it is given."""

    def when_readable(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the descriptor can be read, until `no_longer`; in the same thread."""

    def no_longer(self, descriptor: int) -> None:
        """Watch the descriptor no longer."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedInstance:
    """An instance and where it runs."""

    placement: Placement
    instance: Instance


class Scheduler(Protocol):
    """Decides when and with whom a request runs."""

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""

    @property
    def unused(self) -> bool:
        """It is idle, no sequence is open, and no instance is still to answer what it has taken."""

    def submit(self, request: InferenceRequest, later: Later | None = None) -> bool:
        """Take over a request that is valid for the model; False, and nothing done, once the scheduler is stopped."""

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """Nobody will go on with this sequence; its requests that wait are cancelled, and its slot is free.

        Args:
            connection: only if its last request came on this one, and not on that of somebody who took the id anew.
        """

    def resize(self, instances: Sequence[PlacedInstance]) -> None:
        """Run on these instances from now on; those that are not among them finish their batch and are closed."""

    def stop_if_unused(self) -> bool:
        """Stop at this very moment, unless something waits or runs or a sequence is open; whether it did."""

    def stop(self) -> None:
        """Take nothing more; what is queued still runs."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until everything has run and the instances are closed; True if that happened within `timeout` seconds."""
