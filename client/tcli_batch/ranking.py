"""The highest classes of each row, with the names that the server has for them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from tcli_batch.block import Answers, Block
from tcli_batch.errors import DataError
from tcli_batch.signature import Signature
from tcli_client import AnswerError, Inference, Transport
from tcli_client.scores import parse_classes
from tcli_client.tensors import Array
from tcli_client.transport import Output

_MOST_CLASSES = 1_000_000
_UNRANKED = ("BYTES", "BOOL")


@dataclass(eq=False)
class Classes:
    """The best classes of rows.

    Attributes:
        indices: int64 [n, k], the highest score first.
        scores: [n, k], in the output's dtype.
        labels: by index; shorter where the server names fewer, empty where it has no name for a class.
    """

    indices: Array
    scores: Array
    labels: Sequence[str]

    def label(self, index: int) -> str | None:
        """The name of a class, if it has one."""
        return (self.labels[index] or None) if index < len(self.labels) else None


class Ranking:
    """Ranks outputs of one model.

    Args:
        k: how many classes; 0 for none.

    Attributes:
        outputs: those that are ranked: the ones that have labels, or the only one.

    Raises:
        DataError: nothing can be ranked.
    """

    def __init__(self, server: Transport, signature: Signature, k: int) -> None:
        self._server = server
        self._signature = signature
        self._k = k
        self._labels: dict[str, Sequence[str]] | None = None
        self._example: Mapping[str, Array] = {}
        candidates = [tensor for tensor in signature.outputs if tensor.datatype not in _UNRANKED]
        if k and len(candidates) != 1:
            candidates = [tensor for tensor in candidates if tensor.name in signature.labelled]
        if k and not candidates:
            raise DataError(
                f"model '{signature.model}' has no output that could be ranked: {', '.join(map(str, signature.outputs))}",
                "leave --classes out",
            )
        self.outputs = tuple(tensor.name for tensor in candidates) if k else ()

    def watched(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The same blocks; a row of the first one is asked about once more, to learn the server's labels."""
        for block in blocks:
            if not self._example and len(block):
                self._example = {name: array[:1] for name, array in block.inputs.items()}
            yield block

    def rank(self, answers: Answers) -> dict[str, Classes]:
        """The classes of each ranked output; none where there are no rows."""
        if not self.outputs or not len(answers):
            return {}
        if self._labels is None:
            self._labels = self._ask(self._example)
        found = {}
        for name in self.outputs:
            output = answers.outputs[name]
            if isinstance(output, list):
                shapes = {array.shape for array in output}
                raise DataError(f"output '{name}' has rows of {len(shapes)} shapes, which are no scores per class")
            scores = output.reshape(len(output), -1)
            order = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, : self._k]
            found[name] = Classes(order, np.take_along_axis(scores, order, axis=1), self._labels.get(name, ()))
        return found

    def _ask(self, inputs: Mapping[str, Array]) -> dict[str, Sequence[str]]:
        signature = self._signature
        row = {name: array[:1] if signature.batched else array[0] for name, array in inputs.items()}
        counts = {tensor.name: prod(tensor.dims) for tensor in signature.outputs}
        wanted = [Output(name, counts[name] if counts[name] > 0 else _MOST_CLASSES) for name in self.outputs]
        try:
            answer = self._server.infer(Inference(signature.model, row, wanted, signature.version))
        except AnswerError:  # a server without the classification extension, or numbers that it does not rank
            return {}
        return {name: _labels(answer.outputs[name].ravel()) for name in self.outputs if name in answer.outputs}


def _labels(elements: Array) -> Sequence[str]:
    named = {item.index: item.label or "" for item in parse_classes(elements.tolist())}
    return [named.get(index, "") for index in range(max(named, default=-1) + 1)] if any(named.values()) else ()
