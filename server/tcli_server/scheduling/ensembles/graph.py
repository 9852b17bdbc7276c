"""The steps of an ensemble and the tensors between them."""

from collections.abc import Iterable, Mapping
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
        self.needed = lru_cache(64)(self._needed)

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


def readers(steps: Iterable[Step]) -> dict[str, int]:
    """Ensemble tensor -> how many of the steps take it."""
    counts: dict[str, int] = {}
    for step in steps:
        for tensor in set(step.inputs.values()):
            counts[tensor] = counts.get(tensor, 0) + 1
    return counts
