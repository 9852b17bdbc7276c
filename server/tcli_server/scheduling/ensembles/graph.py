"""The steps of an ensemble and the tensors between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tritonclient.grpc.model_config_pb2 import ModelEnsembling


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step.

    Attributes:
        version: of the model, empty for the highest one that is ready.
        inputs: the model's input -> ensemble tensor; likewise `outputs`.
    """

    index: int
    model: str
    version: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The steps that a request needs, and what they wait for.

    Attributes:
        steps: in the configuration's order.
        waits: step -> how many of the others make something that it takes.
        followers: step -> those that wait for it.
        readers: ensemble tensor -> how many of the steps take it.
    """

    steps: tuple[Step, ...]
    waits: Mapping[Step, int]
    followers: Mapping[Step, Sequence[Step]]
    readers: Mapping[str, int]


class Graph:
    """All steps of an ensemble, whose configuration has been judged.

    Attributes:
        producers: ensemble tensor -> the step that makes it; the ensemble's inputs are not among them.
    """

    def __init__(self, config: ModelEnsembling) -> None:
        self.steps = [
            Step(
                index,
                step.model_name,
                str(step.model_version) if step.model_version > 0 else "",
                dict(step.input_map),
                dict(step.output_map),
            )
            for index, step in enumerate(config.step)
        ]
        self.producers = {tensor: step for step in self.steps for tensor in step.outputs.values()}
        self.plan = lru_cache(64)(self._plan)

    def _plan(self, outputs: frozenset[str]) -> Plan:
        """What has to run for these ensemble tensors."""
        steps = self._needed(outputs)
        followers: dict[Step, list[Step]] = {step: [] for step in steps}
        waits: dict[Step, int] = {}
        readers: dict[str, int] = {}
        for step in steps:
            taken = set(step.inputs.values())
            before = {self.producers[tensor] for tensor in taken if tensor in self.producers} - {step}
            for other in before:
                followers[other].append(step)
            waits[step] = len(before)
            for tensor in taken:
                readers[tensor] = readers.get(tensor, 0) + 1
        return Plan(steps, waits, followers, readers)

    def _needed(self, outputs: frozenset[str]) -> tuple[Step, ...]:
        """The steps without which these ensemble tensors cannot be made, in the configuration's order."""
        found: set[int] = set()
        waiting = [self.producers[tensor] for tensor in outputs if tensor in self.producers]
        while waiting:
            step = waiting.pop()
            if step.index not in found:
                found.add(step.index)
                waiting += [self.producers[tensor] for tensor in step.inputs.values() if tensor in self.producers]
        return tuple(step for step in self.steps if step.index in found)
