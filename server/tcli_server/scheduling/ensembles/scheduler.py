"""The scheduler of an ensemble: no queue and no threads of its own, each step waits in the queue of its model."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tcli_server.errors import ServerError, UnavailableError, error_of_kind
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest
from tcli_server.scheduling import Later, PlacedInstance
from tcli_server.scheduling.ensembles.graph import Graph, Step, wanted_model
from tcli_server.scheduling.ensembles.limits import StepLimits
from tcli_server.scheduling.ensembles.member import Member
from tcli_server.scheduling.ensembles.run import Run
from tcli_server.spec import ModelSpec

_NONE: frozenset[int] = frozenset()
_NO_STEP: frozenset[Step] = frozenset()


class EnsembleScheduler:
    """Takes requests through the steps of a graph.

    Args:
        find: the model that answers for a name and a version at this moment; raises ServerError if there is none.
        max_inflight: runs of a step at a time, over all requests; 0 for any number.
    """

    def __init__(
        self,
        graph: Graph,
        spec: ModelSpec,
        statistics: InferenceStatistics,
        find: Callable[[str, str], Member],
        max_inflight: int = 0,
    ) -> None:
        self._graph = graph
        self._spec = spec
        self._statistics = statistics
        self._find = find
        self._limits = StepLimits(spec.name, len(graph.steps), max_inflight) if max_inflight else None
        self._ended = threading.Condition()
        self._running = 0
        self._stopped = False

    @property
    def pending(self) -> int:
        """Always 0: requests wait for the models of the steps."""
        return 0

    @property
    def idle(self) -> bool:
        """As `Scheduler.idle`."""
        return not self._running

    @property
    def unused(self) -> bool:
        """As `Scheduler.unused`: open sequences are in use by the models of the steps."""
        return self.idle

    def submit(self, request: InferenceRequest, later: Later | None = None) -> bool:
        """As `Scheduler.submit`.

        Raises:
            ServerError: the model of a step is not ready.
        """
        with self._ended:
            if self._stopped:
                return False
            self._running += 1
        try:
            outputs = frozenset(request.outputs or self._spec.outputs)
            members = self._members(self._graph.needed(outputs))
        except ServerError as error:
            self._one_less()
            raise error_of_kind(error.kind, f"in ensemble '{self._spec.name}', {error}") from None
        plan, patient = self._graph.plan(outputs, _NONE), _NO_STEP
        if self._spec.decoupled:
            decoupled = frozenset(step.index for step, member in members.items() if member.spec.decoupled)
            plan = self._graph.plan(outputs, decoupled)
            patient = self._patient(plan.decoupled, members)
        Run(request, self._spec, plan, members, self._statistics, patient, self._limits, self._one_less).begin(later)
        return True

    def _patient(self, decoupled: frozenset[Step], members: Mapping[Step, Member]) -> frozenset[Step]:
        """Those decoupled steps that can wait for the others without waiting for themselves: no model of theirs has to run
        in another step."""
        made_of = {step: self._made_of(member) for step, member in members.items()}
        steps = Counter(name for names in made_of.values() for name in names)
        return frozenset(step for step in decoupled if all(steps[name] == 1 for name in made_of[step]))

    def _made_of(self, member: Member) -> set[str]:
        """The models that run when this one does."""
        inner = member.config.ensemble_scheduling.step
        if not inner:
            return {member.spec.name}
        with contextlib.suppress(ServerError):  # one of them is gone: the request will say so
            found = [self._made_of(self._find(wanted_model(step), "")) for step in inner]
            return set().union(*found)
        return set()

    def _members(self, steps: Sequence[Step]) -> dict[Step, Member]:
        """The models of all steps, which cannot unload under the request."""
        leased: dict[Step, Member] = {}
        try:
            for step in steps:
                member = self._find(step.wanted, step.version)
                if not member.lease():  # a new copy may have taken its place this moment
                    member = self._find(step.wanted, step.version)
                    if not member.lease():
                        raise UnavailableError(f"model '{step.model}' is being unloaded")
                leased[step] = member
        except BaseException:
            for member in leased.values():
                member.give_back()
            raise
        return leased

    def _one_less(self) -> None:
        with self._ended:
            self._running -= 1
            self._ended.notify_all()

    def abandon(self, sequence_id: int | str, connection: object = None) -> None:
        """As `Scheduler.abandon`, for the models of all steps."""
        for step in self._graph.steps:
            try:
                member = self._find(step.wanted, step.version)
            except ServerError:
                continue
            member.abandon(sequence_id, connection)

    def resize(self, instances: Sequence[PlacedInstance]) -> None:
        """As `Scheduler.resize`: there are no instances."""

    def stop_if_unused(self) -> bool:
        """As `Scheduler.stop_if_unused`."""
        with self._ended:
            if self._running:
                return False
            self._stopped = True
            return True

    def stop(self) -> None:
        """As `Scheduler.stop`."""
        with self._ended:
            self._stopped = True

    def join(self, timeout: float | None = None) -> bool:
        """As `Scheduler.join`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._ended:
            while self._running:
                if not self._ended.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                    return not self._running
        if self._limits is not None:
            self._limits.stop()
        return True
