"""What is there once: for a request, or for one response of a decoupled step and what is made of it."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from tcli_server.request import Inputs
from tcli_server.scheduling.ensembles.graph import Plan, Step
from tcli_server.scheduling.ensembles.sequence import Sequence
from tcli_server.window import ResponseWindow


class Scope:
    """Tensors, and which steps still wait for some. Guarded by the lock of the run that it belongs to.

    Args:
        parent: what it is part of; None for what is there once for the whole request.
        window: of the request whose response this is; `size` bytes of it until the scope is over.

    Attributes:
        tensors: by their names in the ensemble.
        batches: of those that are here, whether the first dimension is a batch.
        sequences: of those whose step said so, the sequence that goes on with them.
        children: the responses of this scope's decoupled step that are not over, in their order.
        drained: no more children come.
        answerable: everything for the response is there.
    """

    __slots__ = (
        "_done",
        "_plan",
        "_read",
        "_waits",
        "answerable",
        "batches",
        "children",
        "drained",
        "level",
        "parent",
        "sequences",
        "size",
        "tensors",
        "window",
    )

    def __init__(
        self, plan: Plan, parent: "Scope | None" = None, window: ResponseWindow | None = None, size: int = 0
    ) -> None:
        self._plan = plan
        self.parent = parent
        self.level: int = parent.level + 1 if parent is not None else 0
        self.window = window
        self.size = size
        self.tensors: Inputs = {}
        self.batches: dict[str, bool] = {}
        self.sequences: dict[str, Sequence] = {}
        self.children: deque[Scope] = deque()
        self.drained = self.answerable = False
        self._done: set[Step] = set()
        self._read: dict[str, int] = {}
        self._waits = {step: plan.waits[step] for step in plan.by_level[self.level]}
        while parent is not None:
            for step in parent._done:
                for follower in plan.followers[step]:
                    if follower in self._waits:
                        self._waits[follower] -= 1
            parent = parent.parent

    def startable(self) -> list[Step]:
        """The steps that wait for nothing, when the scope begins."""
        return [step for step, count in self._waits.items() if not count]

    def find(self, tensor: str) -> "tuple[Scope, np.ndarray] | None":
        """A tensor of here or of what this is part of, and where it is; None if it was left out."""
        scope: Scope | None = self
        while scope is not None:
            array = scope.tensors.get(tensor)
            if array is not None:
                return scope, array
            scope = scope.parent
        return None

    def read(self, step: Step) -> None:
        """A step of this level has taken its inputs: what nobody needs any more is let go."""
        for tensor in set(step.inputs.values()):
            count = self._read[tensor] = self._read.get(tensor, 0) + 1
            if count == self._plan.readers.get(tensor) and tensor not in self._plan.lasting:
                self.tensors.pop(tensor, None)

    def done(self, step: Step) -> "Iterator[tuple[Scope, Step]]":
        """A step of this scope, which is not decoupled, has been answered: who can start now, and where."""
        self._done.add(step)
        for follower in self._plan.followers[step]:
            for scope in self._at(self._plan.levels[follower]):
                scope._waits[follower] -= 1
                if not scope._waits[follower]:
                    yield scope, follower

    def _at(self, level: int) -> "Iterator[Scope]":
        if self.level == level:
            yield self
        else:
            for child in self.children:
                yield from child._at(level)
