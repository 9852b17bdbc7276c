"""Random items for a model that nobody has real ones for."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tcli_server.random_tensor import random_tensor

Item = dict[str, np.ndarray]
"""One item's inputs, or its outputs, by name, without a batch dimension."""

LIKELY_SIZES = (8, 32, 64, 4, 224, 2, 1, 640)
"""Tried in turn for dimensions that vary: not 1 first, where a Softmax and the like say nothing."""

_MOST_ELEMENTS = 1 << 25
"""Larger items are not made up: a video of guessed sizes would fill the memory."""

_FLAGS = re.compile(r"mask|type", re.IGNORECASE)
"""Names of integer inputs that are 0 or 1 by their nature."""


@dataclass(frozen=True, slots=True)
class TrialInput:
    """An input of what is tried.

    Attributes:
        datatype: V2 name.
        dims: without a batch dimension; -1 where it varies.
        ragged: its size may differ between the items of a batch.
        example: makes a value up where ordinary random ones are none.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    ragged: bool = False
    example: Callable[[np.random.Generator], np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """Which values items get.

    Attributes:
        integers: they are below this.
        positive: real numbers are between 0 and 1, for models that take logarithms and roots; else normal ones, larger
            from item to item.
    """

    integers: int
    positive: bool = False


LARGE, SMALL, POSITIVE = Values(256), Values(2), Values(2, positive=True)
"""Bytes and token ids are below 256, which may be out of a table's bounds: then 0 and 1."""

Shapes = dict[str, tuple[int, ...]]


def shapes_with(inputs: Sequence[TrialInput], sizes: Sequence[int]) -> Iterator[Shapes]:
    """The inputs' shapes with each of `sizes` in turn for every dimension that varies, as far as they are bearable."""
    varies = any(dim < 0 for one in inputs for dim in one.dims)
    for size in sizes if varies else sizes[:1]:
        shapes = {one.name: tuple(size if dim < 0 else dim for dim in one.dims) for one in inputs}
        if sum(map(math.prod, shapes.values())) <= _MOST_ELEMENTS:
            yield shapes


def values_for(inputs: Sequence[TrialInput]) -> tuple[Values, ...]:
    """The ranges of values to try, best first."""
    whole = any("INT" in one.datatype for one in inputs)
    real = any(one.datatype.startswith(("FP", "BF")) for one in inputs)
    return (*((LARGE,) if whole else ()), SMALL, *((POSITIVE,) if real else ()))


def random_items(
    inputs: Sequence[TrialInput], shapes: Mapping[str, Sequence[int]], count: int, values: Values
) -> list[Item]:
    """Items that differ, the same ones for the same arguments."""
    random = np.random.default_rng(20)
    return [
        {one.name: _tensor(one, _shape(one, shapes[one.name], index), index, values, random) for one in inputs}
        for index in range(count)
    ]


def _shape(one: TrialInput, shape: Sequence[int], index: int) -> tuple[int, ...]:
    """Items of a ragged input differ in their sizes, too."""
    if not one.ragged:
        return tuple(shape)
    return tuple(size + index % 3 if dim < 0 else size for dim, size in zip(one.dims, shape, strict=True))


def _tensor(
    one: TrialInput, shape: tuple[int, ...], index: int, values: Values, random: np.random.Generator
) -> np.ndarray:
    if one.example is not None:
        return one.example(random)
    tensor = np.asarray(random_tensor(one.datatype, shape, random))
    if one.datatype.startswith(("FP", "BF")):
        if values.positive:
            return random.uniform(0.01, 1, size=shape).astype(tensor.dtype)
        return np.asarray(tensor * np.asarray(1 + index, tensor.dtype), tensor.dtype)  # items that differ in size, too
    if tensor.dtype.kind in "iu" and not _FLAGS.search(one.name):
        top = min(values.integers, int(np.iinfo(tensor.dtype).max))
        return np.asarray(random.integers(0, top, size=shape)).astype(tensor.dtype)
    return tensor
