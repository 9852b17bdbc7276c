"""Which decoupled steps a tensor comes from, and thus how often it is there in one request.

A decoupled step gives any number of sets of outputs, and each of them is an iteration: what is made of it is there once in
each. Within an iteration there may be another decoupled step, whose sets are iterations within that one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Lineage = tuple[int, ...]
"""Indices of the decoupled steps on the way to a tensor, the first one first; empty for what is there once."""


@dataclass(frozen=True, slots=True)
class Maps:
    """What a step takes and gives: ensemble tensors."""

    takes: Collection[str]
    gives: Collection[str]


@dataclass(frozen=True, slots=True)
class Lineages:
    """Those of a graph.

    Attributes:
        of_steps: the iterations that each step runs in, by its index; a decoupled step's own are not among them.
        of_tensors: likewise of ensemble tensors.
        clash: a step that takes tensors of iterations that have nothing to do with each other; None if none does.
    """

    of_steps: Mapping[int, Lineage]
    of_tensors: Mapping[str, Lineage]
    clash: int | None


def lineages(steps: Sequence[Maps], decoupled: Collection[int]) -> Lineages:
    """Follow all tensors through the steps; steps that need each other, and thus never run, are left out.

    Args:
        decoupled: the indices of those steps that give any number of sets of outputs.
    """
    makers = {tensor: index for index, step in enumerate(steps) for tensor in step.gives}
    before = [
        {makers[tensor] for tensor in step.takes if tensor in makers} - {index} for index, step in enumerate(steps)
    ]
    after: list[list[int]] = [[] for _ in steps]
    for index, others in enumerate(before):
        for other in others:
            after[other].append(index)
    of_steps: dict[int, Lineage] = {}
    of_tensors: dict[str, Lineage] = {}
    clash: int | None = None
    ready = [index for index, others in enumerate(before) if not others]
    while ready:
        index = ready.pop()
        joined = join([of_tensors.get(tensor, ()) for tensor in steps[index].takes])
        if joined is None:
            clash, joined = index, ()
        of_steps[index] = joined
        of_tensors.update(dict.fromkeys(steps[index].gives, (*joined, index) if index in decoupled else joined))
        for other in after[index]:
            before[other].discard(index)
            if not before[other]:
                ready.append(other)
    return Lineages(of_steps, of_tensors, clash)


def join(found: Sequence[Lineage]) -> Lineage | None:
    """The iterations in which tensors of these lineages meet; None if they never do."""
    longest = max(found, key=len, default=())
    return longest if all(longest[: len(each)] == each for each in found) else None
