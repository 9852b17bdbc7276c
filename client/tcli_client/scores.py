"""From a server's answer to ranked classes: Triton's classification strings, or the scores themselves."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tcli_client.tensors import Array


@dataclass(frozen=True)
class Classification:
    """One class of one picture.

    Attributes:
        score: what the model gave, a probability or a logit; an int where the model's output is of integers.
        label: None where the server has no name for the class.
    """

    score: float
    index: int
    label: str | None = None


def parse_classes(results: Iterable[bytes]) -> tuple[Classification, ...]:
    """Read elements of a classification output, "value:index" or "value:index:label"; a label may contain colons.

    Raises:
        ValueError: an element is something else.
    """
    return tuple(_parse(result.decode(errors="replace")) for result in results)


def parse_flattened_classes(results: Iterable[bytes], pictures: int, class_count: int) -> list[list[Classification]]:
    """Read a classification output that ranks the scores of several pictures as if they were one vector.

    That is Triton's answer where the model has a batch dimension that the server does not know of. Indices count on from
    picture to picture, and only those of the first picture have labels.

    Args:
        results: all `pictures * class_count` of them.

    Raises:
        ValueError: an element is not a classification.
    """
    ranked: list[list[Classification]] = [[] for _ in range(pictures)]
    flat = parse_classes(results)
    labels = {item.index: item.label for item in flat if item.index < class_count}
    for item in flat:
        picture, index = divmod(item.index, class_count)
        if picture < pictures:  # the rest is padding
            ranked[picture].append(Classification(item.score, index, labels.get(index)))
    return ranked


def rank(scores: Array, classes: int) -> tuple[Classification, ...]:
    """The `classes` highest of a vector of scores, highest first, without labels."""
    order = np.argsort(-scores.astype(np.float64), kind="stable")[:classes]
    return tuple(Classification(scores[index].item(), int(index)) for index in order)


def _parse(text: str) -> Classification:
    value, separator, rest = text.partition(":")
    index, _, label = rest.partition(":")
    if not separator:
        raise ValueError(f"'{text}' is not a classification")
    score = int(value) if value.lstrip("-").isdecimal() else float(value)
    return Classification(score, int(index), label or None)
