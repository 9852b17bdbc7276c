"""The steps of an ensemble and the tensors between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tritonclient.grpc.model_config_pb2 import ModelEnsembling

from tcli_server.scheduling.ensembles.lineage import Lineages, Maps, join, lineages


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step.

    Attributes:
        wanted: the model with the namespace that the configuration gives, if it does.
        version: of the model, empty for the highest one that is ready.
        inputs: the model's input -> ensemble tensor; likewise `outputs`.
    """

    index: int
    model: str
    wanted: str
    version: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The steps that a request needs, and what they wait for.

    Level 0 is there once in a request. Each level below belongs to the responses of one decoupled step: all that is made
    of one response, and of what the levels above have, is there once for it.

    Attributes:
        steps: in the configuration's order.
        answer: stands for the response: a step that takes what the client wants.
        depth: the level of the answer.
        levels: step, or `answer` -> where it runs.
        by_level: the steps, and `answer`, of each level.
        decoupled: those whose responses are levels of their own.
        waits: step, or `answer` -> how many of the others it waits for, but for decoupled ones: their responses begin
            its level.
        followers: step -> those that wait for it.
        readers: ensemble tensor -> how many of the steps of its own level take it.
        lasting: ensemble tensors that are needed longer than by those.
        wanted: step -> those of its model's outputs that anybody needs.
    """

    steps: tuple[Step, ...]
    answer: Step
    depth: int
    levels: Mapping[Step, int]
    by_level: Sequence[Sequence[Step]]
    decoupled: frozenset[Step]
    waits: Mapping[Step, int]
    followers: Mapping[Step, Sequence[Step]]
    readers: Mapping[str, int]
    lasting: frozenset[str]
    wanted: Mapping[Step, tuple[str, ...]]


def wanted_model(step: ModelEnsembling.Step) -> str:
    """A step's model, `NAMESPACE/NAME` where its configuration gives a namespace."""
    namespace: str = step.model_namespace.rstrip("/") or step.model_namespace
    return f"{namespace}/{step.model_name}" if namespace else step.model_name


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
                wanted_model(step),
                str(step.model_version) if step.model_version > 0 else "",
                dict(step.input_map),
                dict(step.output_map),
            )
            for index, step in enumerate(config.step)
        ]
        self.producers = {tensor: step for step in self.steps for tensor in step.outputs.values()}
        self.needed = lru_cache(64)(self._needed)
        self.plan = lru_cache(64)(self._plan)

    def lineages(self, decoupled: frozenset[int]) -> Lineages:
        """How often each tensor is there, if the steps of these indices are decoupled."""
        return lineages([Maps(step.inputs.values(), step.outputs.values()) for step in self.steps], decoupled)

    def _plan(self, outputs: frozenset[str], decoupled: frozenset[int]) -> Plan:
        """What has to run for these ensemble tensors.

        Args:
            decoupled: the indices of the steps whose models are.
        """
        steps = self._needed(outputs)
        found = self.lineages(decoupled)
        tensor_levels = {tensor: len(lineage) for tensor, lineage in found.of_tensors.items()}
        answer = Step(-1, "", "", "", {name: name for name in outputs}, {})
        levels = {step: len(found.of_steps[step.index]) for step in steps}
        depth = levels[answer] = len(join([found.of_tensors.get(name, ()) for name in outputs]) or ())
        streaming = frozenset(step for step in steps if step.index in decoupled)
        followers: dict[Step, list[Step]] = {step: [] for step in steps}
        waits: dict[Step, int] = {}
        readers: dict[str, int] = {}
        lasting = set(outputs)
        for step in (*steps, answer):
            taken = set(step.inputs.values())
            before = {self.producers[tensor] for tensor in taken if tensor in self.producers} - {step} - streaming
            for other in before:
                followers[other].append(step)
            waits[step] = len(before)
            for tensor in taken:
                if tensor_levels.get(tensor, 0) != levels[step]:
                    lasting.add(tensor)
                elif step is not answer:
                    readers[tensor] = readers.get(tensor, 0) + 1
        needed = lasting | readers.keys()
        wanted = {step: tuple(name for name, tensor in step.outputs.items() if tensor in needed) for step in steps}
        by_level = [[step for step in (*steps, answer) if levels[step] == level] for level in range(depth + 1)]
        return Plan(
            steps,
            answer,
            depth,
            levels,
            by_level,
            streaming,
            waits,
            followers,
            readers,
            frozenset(lasting),
            wanted,
        )

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
