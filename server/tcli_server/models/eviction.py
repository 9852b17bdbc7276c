"""The memory that loaded models may hold together: makes room for those that are wanted, by unloading others."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from tcli_server.errors import UnavailableError
from tcli_server.models.composition import steps_of
from tcli_server.models.control import ModelControl
from tcli_server.models.footprints import Footprints
from tcli_server.models.model import Model
from tcli_server.models.usage import Usage, longest_unused_first
from tcli_server.observability.log import LOG

_PATIENCE_SECS = 2.0
"""How long a load waits for others that are under way before more is unloaded so that it can go on beside them."""

_ALONE_SECS = 5.0
"""How long others wait for the first load, which shows best what the server itself takes; it may hang."""

_POLL_SECS = 0.01
"""How often a load that has no room looks whether a model is used no more."""

_PASSING = 2
"""So many times the size of its file does a model need while it is loaded, besides what it keeps: the file as it was
read, and its tensors before they are optimized."""

_TOLERANCE = 20
"""One part in so many of the budget by which the process may be larger than the sum of its models."""


class UnwantedError(UnavailableError):
    """A load was given up, as nobody waits for it."""


@dataclass(slots=True, eq=False)
class Place:
    """Room that a load waits for or has.

    Attributes:
        passing: bytes that it needs only while it goes on.
        since: when it began to wait (time.monotonic()); likewise `first_since`, from when on it was the first in the line.
    """

    family: tuple[str, ...]
    passing: int
    since: float = field(default_factory=time.monotonic)
    first_since: float = 0.0


class Room:
    """Counts what is loaded and what is about to be, and lets one load after the other in.

    What counts is the sum of the models' footprints, or what the process has really grown by if that is more: running a
    model takes memory, too.

    Args:
        budget: bytes; None for no limit.
        pinned: models that are never unloaded here.
        wait_secs: how long a load may wait for models to become idle.
        apart: bytes that the server holds which are not the models'.

    Attributes:
        evictions: how many models were unloaded, by reason: `memory` or `idle`.
    """

    def __init__(
        self,
        control: ModelControl,
        budget: int | None,
        pinned: Collection[str],
        wait_secs: float,
        apart: Callable[[], int],
    ) -> None:
        self.budget = budget
        self.footprints = Footprints()
        self.evictions = {"memory": 0, "idle": 0}
        self._control = control
        self._registry = control.registry
        self._pinned = pinned
        self._wait_secs = wait_secs
        self._apart = apart
        self._usage = Usage()
        self._changed = threading.Condition()
        self._line: deque[Place] = deque()  # loads that wait to be let in, first come, first served
        self._coming: Counter[str] = Counter()
        self._passing = 0  # bytes that loads under way need only for as long as they are
        self._first_in = 0.0  # when the first load of all was let in (time.monotonic())
        self._stopped = False

    def sizes(self) -> list[tuple[str, int]]:
        """Bytes of each model that is in memory, by name."""
        return [(name, self.footprints.of(name)) for name in sorted(self._registry.present())]

    def make(self, family: Sequence[str], wanted: Callable[[], bool]) -> "Place":
        """Wait for room for these models and reserve it until `settle`.

        Args:
            wanted: asked again and again; they are not waited for any longer than they are.

        Raises:
            UnwantedError: they are not wanted any more.
            UnavailableError: there is no room, and never will be or not soon enough; or the server ends.
        """
        place = Place(tuple(family), self._in_passing(family))
        with self._changed:
            self._line.append(place)
        try:
            self._check_size(family)
            while not self._let_in(place):
                if not wanted():
                    raise UnwantedError(f"nobody waits for {_models(family)} any more")
                if time.monotonic() >= place.since + self._wait_secs:
                    raise UnavailableError(self._full(family))
        finally:
            with self._changed:
                self._line.remove(place)
                self._changed.notify_all()
        return place

    def settle(self, place: "Place") -> None:
        """Reserve nothing more: the models are loaded, or will not be."""
        with self._changed:
            self._coming.subtract(place.family)
            self._coming = +self._coming
            self._passing -= place.passing
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def tidy(self) -> None:
        """Unload what is longest unused for as long as the process is larger than it may be."""
        while self.budget is not None and self._lasting(()) > self.budget and self._evict_one((), "memory"):
            pass

    def unload_idle(self, secs: float) -> None:
        """Unload what was not used for so long."""
        latest = time.monotonic() - secs
        candidates, used = self._candidates(())
        for name in longest_unused_first(candidates, used):
            if used[name] <= latest:
                self._evict(name, "idle")

    def look(self) -> None:
        """Notice which models are in use, for the order in which they are unloaded."""
        self._candidates(())

    # --- counting ---

    def _let_in(self, place: "Place") -> bool:
        """Reserve room if it is this load's turn and there is some; else do something for it, or wait a moment."""
        with self._changed:
            if self._stopped:
                raise UnavailableError("Server exiting")
            if self._coming.keys() >= set(
                place.family
            ):  # what they are a part of has room for them, and waits for them
                self._reserve(place)
                return True
            if self._line[0] is not place:
                self._changed.wait(_PATIENCE_SECS)
                return False
            now = time.monotonic()
            place.first_since = place.first_since or now
            alone = self._first_in + _ALONE_SECS - now
            if self._coming and self._uncounted and alone > 0:
                self._changed.wait(alone)
                return False
            others, passing = bool(self._coming), self._passing
        if self.budget is not None:
            lasting = self._lasting(place.family)
            full = lasting > self.budget
            crowded = lasting + passing + place.passing > self.budget
            patient = others and not full and now < place.first_since + _PATIENCE_SECS
            if crowded and not patient and self._evict_one(place.family, "memory"):
                return False
            # What is left in the way are loads that will soon be over, and models that are in use now.
            if crowded and (others or (self._sum(place.family) > self.budget and self._may_go(place.family))):
                with self._changed:
                    self._changed.wait(_POLL_SECS)
                return False
        with self._changed:
            self._reserve(place)
        return True

    def _reserve(self, place: Place) -> None:
        self._first_in = self._first_in or time.monotonic()
        self._coming.update(place.family)
        self._passing += place.passing

    @property
    def _uncounted(self) -> bool:
        """Whether only a first load, alone, will tell what is not the models'."""
        return self.budget is not None and not self.footprints.calibrated

    def _sum(self, family: Collection[str]) -> int:
        with self._changed:
            names = self._coming.keys() | set(family)
        return sum(map(self.footprints.of, self._registry.present() | names))

    def _lasting(self, family: Collection[str]) -> int:
        """Bytes that will be taken, at least, when these models and those that load now are there."""
        present = self._registry.present()
        with self._changed:
            to_come = (self._coming.keys() | set(family)) - present
            passing = self._passing
        assert self.budget is not None
        grown = self.footprints.growth() - self._apart() - passing - self.budget // _TOLERANCE
        return max(self._sum(family), grown + sum(map(self.footprints.of, to_come)))

    def _in_passing(self, family: Collection[str]) -> int:
        """Bytes that a load needs only while it goes on: one model of a family after the other is read and optimized."""
        return _PASSING * max(map(self.footprints.on_disk, family), default=0)

    def _check_size(self, family: Sequence[str]) -> None:
        if self.budget is None:
            return
        needed = sum(map(self.footprints.on_disk, set(family)))
        pinned = sum(map(self.footprints.of, self._unmoving() - set(family)))
        if needed + pinned > self.budget:
            others = f" of which {_megabytes(pinned)} are for models that stay loaded" if pinned else ""
            raise UnavailableError(
                f"{_models(family)} {'needs' if len(family) == 1 else 'need'} {_megabytes(needed)} at least, but --memory-budget is "
                f"{_megabytes(self.budget)}{others}; fix: give it more"
            )

    def _may_go(self, family: Collection[str]) -> set[str]:
        """What there is besides these models and will be unloaded sooner or later.

        Without any, what was measured is all that speaks against these models, and that cannot be trusted so far.
        """
        return (self._registry.present() | self._coming.keys()) - self._unmoving() - set(family)

    def _unmoving(self) -> set[str]:
        """The loaded models that stay, and those that they are made of."""
        present = self._registry.present()
        waiting = [name for name in present if self._registry.stays(name) or name in self._pinned]
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in present and name not in found:
                found.add(name)
                waiting += [step for model in self._registry.loaded(name) for step in steps_of(model.config)]
        return found

    def _full(self, family: Sequence[str]) -> str:
        used = sorted(self._registry.present())
        names = ", ".join(used[:5]) + (f" and {len(used) - 5} more" if len(used) > 5 else "")
        assert self.budget is not None
        return (
            f"no room for {_models(family)} within {self._wait_secs:g} s: --memory-budget is {_megabytes(self.budget)}, and "
            f"all models that are loaded are in use or stay loaded: {names or 'none'}; fix: try again later, or give it more"
        )

    # --- unloading ---

    def _evict_one(self, spared: Collection[str], reason: str) -> bool:
        candidates, used = self._candidates(spared)
        return any(self._evict(name, reason) for name in longest_unused_first(candidates, used))

    def _candidates(self, spared: Collection[str]) -> tuple[dict[str, Sequence[Model]], dict[str, float]]:
        loaded = {name: self._registry.loaded(name) for name in self._registry.present()}
        used = self._usage.look(loaded)
        with self._changed:
            spared = {*spared, *self._coming, *self._pinned}
        return {
            name: models
            for name, models in loaded.items()
            if name not in spared and models and all(model.unused for model in models)
        }, used

    def _evict(self, name: str, reason: str) -> bool:
        evicted = self.footprints.unload(name, lambda: self._control.evict(name))
        if evicted:
            self.evictions[reason] += 1
            LOG.debug("unloaded '%s' (%s)", name, reason)
        return evicted


def _models(family: Sequence[str]) -> str:
    *steps, name = family
    return f"model '{name}'" + (f" with {', '.join(steps)}" if steps else "")


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"
