"""The values of a JSON array without their nesting: what a tensor's `data` comes down to."""

from itertools import chain
from typing import Any

import numpy as np

from tcli_server.protocols.http.json_text import MAX_NESTING, too_deep

Leaves = np.ndarray | list[Any]
"""Values of an array in their order: numbers or booleans as an array, a list if there is anything else."""


def leaves_of(values: list[Any]) -> Leaves:
    """The values of an array, nested or flat.

    Raises:
        InvalidArgumentError: nested too deeply.
    """
    kinds = set(map(type, values))
    depth = 1
    while kinds == {list}:
        values = list(chain.from_iterable(values))
        kinds = set(map(type, values))
        depth += 1
        if depth >= MAX_NESTING:
            raise too_deep()
    if list in kinds:
        values = _flatten(values, depth)
        kinds = set(map(type, values))
    if kinds == {int}:
        return _integers(values)
    if kinds and kinds <= {int, float}:
        return np.array(values, np.float64)
    return np.array(values, np.bool_) if kinds == {bool} else values


def _integers(values: list[int]) -> np.ndarray:
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(values, dtype)
        except OverflowError:
            continue
    return np.array(values, np.float64)  # no integer type holds all of them, so only a tensor of floats may


def _flatten(values: list[Any], depth: int) -> list[Any]:
    leaves: list[Any] = []
    stack = [iter(values)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            leaves.append(item)
        else:
            stack.pop()
        if len(stack) + depth > MAX_NESTING:
            raise too_deep()
    return leaves
