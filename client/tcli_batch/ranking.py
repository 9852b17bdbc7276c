"""The highest classes of each row, with the names that the server has for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from tcli_batch.block import Answers
from tcli_batch.errors import DataError
from tcli_batch.signature import Signature, Tensor
from tcli_batch.sources.kinds import DataFile
from tcli_client import (
    Answer,
    AnswerError,
    Inference,
    NotAClassifierError,
    NotFoundError,
    Transport,
    UnavailableError,
    find_image_model,
)
from tcli_client.scores import parse_classes
from tcli_client.tensors import Array
from tcli_client.transport import Output

CLASSES = 3
"""Of each picture, where nothing else is said."""

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


def default_classes(server: Transport, model: str, version: str, files: Sequence[DataFile]) -> int:
    """How many classes to give where nobody says it: some of pictures that are classified, else none."""
    if files[0].kind != "picture":
        return 0
    try:
        find_image_model(server, model, version)
    except NotAClassifierError:
        return 0
    return CLASSES


class Ranking:
    """Ranks outputs of one model.

    Args:
        k: how many classes; 0 for none.

    Attributes:
        outputs: those that are ranked: the ones that have labels, or the only one.

    Raises:
        DataError: nothing can be ranked.
    """

    def __init__(self, signature: Signature, k: int) -> None:
        self._signature = signature
        self._k = k
        self._labels: dict[str, Sequence[str]] | None = None
        candidates = [tensor for tensor in signature.outputs if tensor.datatype not in _UNRANKED]
        if k and len(candidates) != 1:
            candidates = [tensor for tensor in candidates if tensor.name in signature.labelled]
        if k and not candidates:
            raise DataError(
                f"model '{signature.model}' has no output that could be ranked: {', '.join(map(str, signature.outputs))}",
                "leave --classes out",
            )
        self.outputs = tuple(tensor.name for tensor in candidates) if k else ()

    @property
    def counts(self) -> dict[str, int]:
        """The most classes that are given of each ranked output."""
        tensors = (tensor for tensor in self._signature.outputs if tensor.name in self.outputs)
        return {tensor.name: min(self._k, _count(tensor) or self._k) for tensor in tensors}

    def rank(self, answers: Answers, ask: Callable[[Inference], Answer]) -> dict[str, Classes]:
        """The classes of each ranked output; none where there are no rows.

        Args:
            ask: asks the model about one row once more, the first time, to learn the server's labels.

        Raises:
            DataError: the model did not answer with an output.
            UnavailableError, NotFoundError: it does not answer any more.
        """
        if not self.outputs or not len(answers):
            return {}
        if self._labels is None:
            self._labels = self._ask(answers.example, ask)
        found = {}
        for name in self.outputs:
            if name not in answers.outputs:
                raise DataError(f"the model does not give the output '{name}', which its metadata names")
            output = answers.outputs[name]
            scores = output.reshape(len(output), -1)
            order = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, : self._k]
            found[name] = Classes(order, np.take_along_axis(scores, order, axis=1), self._labels.get(name, ()))
        return found

    def _ask(self, inputs: Mapping[str, Array], ask: Callable[[Inference], Answer]) -> dict[str, Sequence[str]]:
        signature = self._signature
        row = {name: array[:1] if signature.batched else array[0] for name, array in inputs.items()}
        counts = {tensor.name: _count(tensor) for tensor in signature.outputs}
        wanted = [Output(name, counts[name] or _MOST_CLASSES) for name in self.outputs]
        try:
            answer = ask(Inference(signature.model, row, wanted, signature.version))
        except (UnavailableError, NotFoundError):
            raise
        except AnswerError:  # a server without the classification extension, or numbers that it does not rank
            return {}
        return {name: _labels(answer.outputs[name].ravel()) for name in self.outputs if name in answer.outputs}


def _count(tensor: Tensor) -> int:
    """Numbers of a row; 0 where that is not known."""
    return prod(tensor.dims) if all(side > 0 for side in tensor.dims) else 0


def _labels(elements: Array) -> Sequence[str]:
    named = {item.index: item.label or "" for item in parse_classes(elements.tolist())}
    return [named.get(index, "") for index in range(max(named, default=-1) + 1)] if any(named.values()) else ()
