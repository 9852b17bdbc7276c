"""Which instances may run now, of all models that share resources."""

import threading
import time
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tcli_server.backends import Placement, Resource
from tcli_server.errors import InvalidArgumentError
from tcli_server.scheduling.limits.amounts import CPU, GLOBAL, Key, device_of, explicit_amount


class Fault(NamedTuple):
    """Why instances cannot be served with the resources that there are."""

    resource: Resource
    text: str


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What became of a resource.

    Attributes:
        device: a GPU's number, `cpu`, or `global` for one that all devices share.
        amount: how much there is.
        used: how much instances that run hold.
        waiting: instances that wait because of it.
        wait_ns: how long instances waited because of it, summed.
    """

    name: str
    device: str
    amount: int
    used: int
    waiting: int
    wait_ns: int


class _Pool:
    """A resource on a device."""

    __slots__ = ("amount", "used", "wait_ns")

    def __init__(self) -> None:
        self.amount = self.used = self.wait_ns = 0


class Permit:
    """One instance's permission to run. `ask`, `give_up` and `release` are for whoever runs the instance."""

    __slots__ = (
        "_held",
        "_left",
        "_limiter",
        "_since_ns",
        "_spent",
        "_waits",
        "_wake",
        "_was_idle",
        "model",
        "needs",
        "priority",
        "short",
    )

    def __init__(self, limiter: "RateLimiter", model: str, needs: Mapping[Key, int], priority: int) -> None:
        self._limiter = limiter
        self.model = model
        self.needs = tuple(sorted(needs.items()))
        self.priority = max(1, priority)
        self._spent = 0
        self._held = self._waits = self._left = False
        self._was_idle = True
        self._since_ns = 0
        self._wake: Callable[[], None] = _nobody
        self.short: Sequence[Key] = ()

    @property
    def score(self) -> tuple[int, int]:
        """Executions, with the one that is asked for, times priority; the lowest goes first."""
        return self._spent + self.priority, self.priority

    def ask(self, wake: Callable[[], None]) -> bool:
        """Whether the instance may run now.

        Args:
            wake: if not, called once when it may, from any thread; not after `withdraw`. Must not block.
        """
        return self._held or self._limiter.ask(self, wake)

    def withdraw(self) -> bool:
        """Ask no more; False if the permit was given meanwhile, or nobody asks."""
        return self._waits and self._limiter.withdraw(self)

    def free(self) -> bool:
        """Whether the instance could run now."""
        return self._held or self._limiter.is_free(self)

    def release(self, again: bool = False) -> bool:
        """The instance has run; whether it is in line for its next turn.

        Args:
            again: there is more to run: it asks before anybody else gets what it held. Nobody is woken when its turn has
                come, as the next `ask` will tell.
        """
        self._limiter.release(self, True, again)
        return self._waits

    def give_up(self) -> None:
        """There is nothing to run, for now: ask no more, and what is held, if anything, is for others."""
        if not self.withdraw() and self._held:
            self._limiter.release(self, False, False)
        self._was_idle = True

    def leave(self) -> None:
        """The instance is gone, or will be when it has run."""
        self._limiter.leave(self)


class RateLimiter:
    """Hands out permits in the order of scores.

    Only the instance with the best score of those that wait is sure of being next: what it needs and what is free of it is
    set aside, and so on down the line. Whoever needs none of that runs at once, so nobody waits for a resource that it does
    not need, and nobody can be overtaken for ever: what the first one waits for is given to no one else.

    Whoever had nothing to do, or is new, starts level with the one that is furthest behind of those that it shares a resource
    with. In Triton it has the whole past as credit, and others wait until it has caught up.

    Args:
        amounts: what the command line says; where it says nothing at all, there is as much of each resource as the single
            instance needs that needs most.
    """

    def __init__(self, amounts: Mapping[Key, int] | None = None) -> None:
        self._amounts = dict(amounts or {})
        self._lock = threading.Lock()
        self._permits: list[Permit] = []
        self._pools: dict[Key, _Pool] = {}
        self._waiting: list[Permit] = []  # the best score first

    # --- instances come and go ---

    def fault(self, model: str, placements: Iterable[Placement]) -> Fault | None:
        """Why instances of a model cannot be served, None if they can."""
        with self._lock:
            return self._fault(model, placements)

    def join(self, model: str, placements: Sequence[Placement]) -> list[Permit]:
        """Permits for instances of a model, one each.

        Raises:
            InvalidArgumentError: there is too little of a resource, or others use it as one of another kind.
        """
        with self._lock:
            fault = self._fault(model, placements)
            if fault is not None:
                raise InvalidArgumentError(fault.text)
            permits = [Permit(self, model, _needs(placement), placement.priority) for placement in placements]
            self._permits += permits
            self._count()
            self._serve()  # there may be more now
        return permits

    def leave(self, permit: Permit) -> None:
        """As `Permit.leave`."""
        with self._lock:
            permit._left = True
            if permit._waits:
                self._stop_waiting(permit)
            if not permit._held:
                self._remove(permit)

    def _remove(self, permit: Permit) -> None:
        if permit in self._permits:
            self._permits.remove(permit)
            self._count()
            self._serve()

    def _fault(self, model: str, placements: Iterable[Placement]) -> Fault | None:
        kinds = {name: (device == GLOBAL, other.model) for other, name, device in self._others(model)}
        least: dict[Key, Resource] = {}
        for placement in placements:
            for resource in placement.resources:
                is_global, other = kinds.setdefault(resource.name, (resource.is_global, model))
                if is_global != resource.is_global:
                    return Fault(resource, _both(resource, model, other))
                key = _key(resource, placement)
                if key not in least or least[key].count < resource.count:
                    least[key] = resource
        for (name, device), resource in least.items() if self._amounts else ():
            amount = explicit_amount(self._amounts, name, device)
            if amount < resource.count:
                return Fault(resource, _too_little(resource, amount, device))
        return None

    def _others(self, model: str) -> Iterator[tuple[Permit, str, str]]:
        """What other models need; an older copy of the same model goes as soon as this one is there."""
        for permit in self._permits:
            if permit.model != model:
                for (name, device), _ in permit.needs:
                    yield permit, name, device

    def _count(self) -> None:
        """How much there is of everything, after somebody came or went."""
        largest: dict[Key, int] = {}
        for permit in self._permits:
            for key, count in permit.needs:
                largest[key] = max(largest.get(key, 0), count)
        self._pools = {key: self._pools.get(key) or _Pool() for key in largest}
        for (name, device), pool in self._pools.items():
            explicit = explicit_amount(self._amounts, name, device) if self._amounts else None
            pool.amount = largest[name, device] if explicit is None else explicit

    # --- permits ---

    def ask(self, permit: Permit, wake: Callable[[], None]) -> bool:
        """As `Permit.ask`."""
        if not permit.needs:
            permit._held = True
            permit._spent += permit.priority
            return True
        with self._lock:
            permit._wake = wake
            if not permit._held and not permit._waits:
                self._stand_in_line(permit)
                self._serve(permit)
            return permit._held

    def withdraw(self, permit: Permit) -> bool:
        """As `Permit.withdraw`."""
        with self._lock:
            if not permit._waits:
                return False
            self._stop_waiting(permit)
            self._serve()
            return True

    def is_free(self, permit: Permit) -> bool:
        """As `Permit.free`."""
        with self._lock:
            return not self._short(permit, self._set_aside(permit))

    def release(self, permit: Permit, ran: bool, again: bool) -> None:
        """As `Permit.release` and `Permit.give_up`."""
        permit._spent -= 0 if ran else permit.priority
        if not permit.needs:
            permit._held = False
            if permit._left:
                self.leave(permit)
            return
        with self._lock:
            permit._held = False
            for key, count in permit.needs:
                self._pools[key].used -= count
            if permit._left:
                self._remove(permit)
            if again and not permit._left:
                permit._wake = _nobody
                self._stand_in_line(permit)
            self._serve()

    def use(self) -> list[ResourceUse]:
        """What became of each resource that an instance needs, in the order of names and devices."""
        with self._lock:
            now_ns = time.monotonic_ns()
            waiting: dict[Key, list[int]] = {}
            for permit in self._waiting:
                for key in permit.short:
                    waiting.setdefault(key, []).append(now_ns - permit._since_ns)
            return [
                ResourceUse(
                    *key, pool.amount, pool.used, len(waiting.get(key, ())), pool.wait_ns + sum(waiting.get(key, ()))
                )
                for key, pool in sorted(self._pools.items())
            ]

    # --- all with the lock held ---

    def _spent_by_rivals(self, permit: Permit) -> Iterator[int]:
        """What those had spent before their present turn that run or wait and share a resource with this one."""
        mine = {key for key, _ in permit.needs}
        for other in self._permits:
            is_active = other is not permit and (other._held or other._waits)
            if is_active and any(key in mine for key, _ in other.needs):
                yield other._spent - (other.priority if other._held else 0)

    def _stand_in_line(self, permit: Permit) -> None:
        if permit._was_idle:
            permit._was_idle = False
            permit._spent = max(permit._spent, min(self._spent_by_rivals(permit), default=0))
        permit._waits, permit._since_ns = True, time.monotonic_ns()
        permit.short = self._short(permit, self._set_aside(permit))
        insort(self._waiting, permit, key=lambda waiting: waiting.score)

    def _set_aside(self, permit: Permit) -> dict[Key, int]:
        """What those with better scores wait for; they also come first with the same score."""
        aside: dict[Key, int] = {}
        for other in self._waiting:
            if other.score > permit.score:
                break
            if other is not permit:
                _add(aside, other)
        return aside

    def _short(self, permit: Permit, aside: Mapping[Key, int]) -> list[Key]:
        """The resources of which there is not enough for a permit."""
        pools = self._pools
        return [
            key
            for key, count in permit.needs
            if key not in pools or pools[key].amount - pools[key].used - aside.get(key, 0) < count
        ]

    def _give(self, permit: Permit) -> None:
        permit._held = True
        permit._spent += permit.priority
        for key, count in permit.needs:
            self._pools[key].used += count

    def _serve(self, asking: Permit | None = None) -> None:
        """Give permits to those that wait and can have one now.

        Args:
            asking: need not be woken.
        """
        aside: dict[Key, int] = {}
        for permit in list(self._waiting):
            if self._short(permit, aside):
                _add(aside, permit)
                continue
            self._stop_waiting(permit)
            self._give(permit)
            if permit is not asking:
                permit._wake()

    def _stop_waiting(self, permit: Permit) -> None:
        self._waiting.remove(permit)
        permit._waits = False
        waited_ns = time.monotonic_ns() - permit._since_ns
        for key in permit.short:
            self._pools[key].wait_ns += waited_ns
        permit.short = ()


def _needs(placement: Placement) -> dict[Key, int]:
    return {_key(resource, placement): resource.count for resource in placement.resources if resource.count}


def _key(resource: Resource, placement: Placement) -> Key:
    return resource.name, GLOBAL if resource.is_global else device_of(placement.gpu)


def _add(aside: dict[Key, int], permit: Permit) -> None:
    for key, count in permit.needs:
        aside[key] = aside.get(key, 0) + count


def _both(resource: Resource, model: str, other: str) -> str:
    kind = "global" if resource.is_global else "device-specific"
    by = f": {kind} here, but not in model '{other}'" if other != model else ""
    return (
        f'Resource "{resource.name}" is present as both global and device-specific resource in the model '
        f"configuration.{by}"
    )


def _too_little(resource: Resource, amount: int, device: str) -> str:
    where = f":{device}" if device not in (GLOBAL, CPU) else ""
    return (
        f'Resource count for "{resource.name}" is limited to {amount} which will prevent scheduling of one or more model '
        f"instances, the minimum required count is {resource.count}; fix: lower the count, or start with "
        f"--rate-limit-resource={resource.name}:{resource.count}{where}"
    )


def _nobody() -> None:
    """The wake of a permit that nobody has asked for."""
