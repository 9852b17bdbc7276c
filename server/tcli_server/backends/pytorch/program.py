"""A loaded model, whatever kind of file it came from: values go in by position, and come out by key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from tcli_server.signature import TensorSignature

Key = int | str
"""Where a value is in what a model answers: its index, or its name in a dictionary."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One value that a model takes or gives.

    Attributes:
        names: what it is called, the usual name first; none where it has only a place.
        tensor: its type and shape as far as the file says; named by the first name, or empty.
        optional: an input that may be left out.
        strings: a list of strings instead of a tensor.
    """

    names: tuple[str, ...]
    tensor: TensorSignature
    optional: bool = False
    strings: bool = False


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Program:
    """A model that can be called.

    Attributes:
        call: takes a value for each input (None where an optional one is left out), gives the values by key.
        inputs: in order.
        outputs: by key, in order; empty where the file does not say which there are.
        keyed: inputs may have any names, which the model is told; `call` then takes a dictionary.
        answers: how outputs are named where `outputs` does not say: by `int` or by `str`.
        writes: it may write into its inputs.
        weights: where the memory of each begins.
    """

    call: Callable[[Any], Mapping[Key, Any]]
    inputs: tuple[Slot, ...]
    outputs: Mapping[Key, Slot]
    keyed: bool = False
    answers: type = int
    writes: bool = False
    weights: frozenset[int] = field(default=frozenset())


def by_key(answer: Any) -> Mapping[Key, Any]:
    """What a model answered, by key: a dictionary's values by their names, others by their index."""
    if isinstance(answer, torch.Tensor):
        return {0: answer}
    if isinstance(answer, tuple):
        return dict(enumerate(answer))
    if isinstance(answer, Mapping):
        return answer
    if isinstance(answer, list) and answer and isinstance(answer[0], torch.Tensor):
        return dict(enumerate(answer))
    return {0: answer}
