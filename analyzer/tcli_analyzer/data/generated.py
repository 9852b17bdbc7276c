"""Values that are made up: random ones, zeros, numbers of a range."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.model_input import ModelInput
from tcli_server.random_tensor import random_tensor

Example = Callable[[np.random.Generator], np.ndarray]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included, evenly spread; one value where they are equal."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Strings:
    """What strings are made up.

    Attributes:
        length: in bytes; 0 for short words.
        data: this one string, whatever the length; empty for random ones.
    """

    length: int = 0
    data: str = ""


class GeneratedColumn:
    """As `Column`, without an end. Dimensions of any size are 1.

    Args:
        zero: zeros and empty strings.
        values: of numbers; None for usual ones (real numbers standard normal, bytes 0 to 255, other whole numbers 0 or 1).
        example: makes a value up that suits the model's backend; used unless something else is said.
    """

    count: int | None = None

    def __init__(
        self,
        to: ModelInput,
        seed: int = 0,
        *,
        zero: bool = False,
        values: Range | None = None,
        strings: Strings = Strings(),
        example: Example | None = None,
    ) -> None:
        self.source = "zeros" if zero else "random values" if values is None else f"{values.low:g}..{values.high:g}"
        self.notes: list[str] = []
        self._to = to
        self._shape = tuple(max(1, dim) for dim in to.dims)
        self._zero = zero
        self._values = values
        self._strings = strings
        self._example = example
        self._random = np.random.default_rng(seed)

    def item(self, index: int) -> np.ndarray:  # noqa: ARG002 - each is another one
        to = self._to
        if self._zero:
            return np.zeros(self._shape, to.kind.dtype) if to.kind.size else np.full(self._shape, b"", np.object_)
        if self._values is not None:
            return self._of_range(self._values)
        if not to.kind.size and (self._strings.data or self._strings.length):
            return self._texts()
        if self._example is not None:
            return np.asarray(self._example(self._random)).reshape(self._shape)
        return random_tensor(to.kind.name, self._shape, self._random)

    def _of_range(self, values: Range) -> np.ndarray:
        dtype = self._to.kind.dtype
        if dtype.kind in "iu":
            return self._random.integers(
                int(values.low), int(values.high), self._shape, np.int64, endpoint=True
            ).astype(dtype)
        return self._random.uniform(values.low, values.high, self._shape).astype(dtype)

    def _texts(self) -> np.ndarray:
        array = np.empty(int(np.prod(self._shape)), np.object_)
        letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789", np.uint8)
        for position in range(len(array)):
            array[position] = (
                self._strings.data.encode()
                or letters[self._random.integers(0, len(letters), self._strings.length)].tobytes()
            )
        return array.reshape(self._shape)


def read_range(text: str, to: ModelInput) -> Range | None:
    """The range that a text says, "0..30521" or "0.5..1"; None where it says none.

    Raises:
        DataError: it ends before it begins, or is not of numbers that the input takes.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    found = Range(float(match[1]), float(match[2]))
    if found.low > found.high:
        raise DataError(f"{to.name}:{text}: the range ends below its beginning", f"write {match[2]}..{match[1]}")
    dtype = to.kind.dtype
    if dtype.kind in "biu" and to.kind.name != "BOOL":
        limits = np.iinfo(dtype)
        low, high = max(limits.min, -(2**63)), min(limits.max, 2**63 - 1)
        if not (found.low.is_integer() and found.high.is_integer() and low <= found.low and found.high <= high):
            raise DataError(
                f"{to.name}:{text}: input '{to.name}' takes {to.kind.name}: whole numbers from {low} to {high}"
            )
    elif not to.kind.size or to.kind.name == "BOOL":
        raise DataError(f"{to.name}:{text}: input '{to.name}' takes {to.kind.name}, which has no range")
    return found
