"""Which sizes and values are tried for inputs that are made up."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.generated import Range
from tcli_analyzer.data.model_input import ModelInput
from tcli_analyzer.data.pictures import takes_pictures
from tcli_client.image_model import DEFAULT_SIDE
from tcli_server.backends.value_hint import ValueHint

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 224, 256, 512, 640)
"""Tried in turn for dimensions of any size."""

TEXT_LENGTH = 128
"""Words of a text that is made up."""

_WORDS = 1000
"""An input whose values are places in a table of so many rows is one of words."""

_MOST_ELEMENTS = 1 << 25
_RATES = (16_000, 8_000)
_LENGTHS = re.compile(r"len", re.IGNORECASE)
_IS_RATE = re.compile(r"^sr$|rate", re.IGNORECASE)

Ranges = Mapping[str, Range]
Shapes = Mapping[str, tuple[int, ...]]


class Tries:
    """For one model.

    Args:
        made_up: the inputs, by name.
        hints: of the model file.
        real_sizes: of dimensions of any size, in data that was given for other inputs.
        any_value: values may be chosen, too.

    Attributes:
        whole, real, sized: those with whole numbers, with real ones, with dimensions of any size.
        real_size: the first of `real_sizes`, 0 without any.
        sizes: beside 1.
    """

    def __init__(
        self,
        config: ModelConfig,
        made_up: Mapping[str, ModelInput],
        hints: Mapping[str, ValueHint],
        real_sizes: Sequence[int],
        any_value: bool,
    ) -> None:
        self._config = config
        self._hints = hints
        chosen = list(made_up.values()) if any_value else []
        self.whole = [one for one in chosen if one.kind.dtype.kind in "iu"]
        self.real = [one for one in chosen if one.kind.name.startswith(("FP", "BF"))]
        self.sized = [one for one in made_up.values() if one.varies]
        self.real_size = real_sizes[0] if real_sizes else 0
        self.sizes = tuple(dict.fromkeys([*real_sizes, *SIZES[1:]]))

    def tables(self) -> Ranges:
        """All rows of the tables that an input's values are places in: what real ones are, as far as anybody knows."""
        found = {}
        for one in self.whole:
            high = self._hints[one.name].high if one.name in self._hints else -1
            if high >= 0:
                found[one.name] = Range(0, min(high, _largest(one)))
        return found

    def likely_sizes(self) -> Shapes:
        """Of what was given, of pictures and texts: a single pixel or word would run, and tell nobody anything."""
        pictures = {one.name for one in self.sized if takes_pictures(self._config, one)}
        tables = self.tables()
        is_text = any(one.name in tables and tables[one.name].high >= _WORDS for one in self.sized)
        found = {}
        for one in self.sized:
            if one.name in pictures:
                found[one.name] = _of_size(one, DEFAULT_SIDE, keep_first=len(one.dims) > 3)
            elif self.real_size or (is_text and one in self.whole):
                keep_first = not self._config.max_batch_size and sum(dim < 0 for dim in one.dims) > 1
                found[one.name] = _of_size(one, self.real_size or TEXT_LENGTH, keep_first)
        return found

    def rates(self) -> Ranges:
        """Inputs that are a sample rate by their name: one that the model knows."""
        names = [one.name for one in self.whole if _IS_RATE.search(one.name)]
        known = {name: self._hints[name].likely for name in names if name in self._hints}
        return {name: _only((*known.get(name, ()), *_RATES)[0]) for name in names}

    def all_sizes(self) -> Iterator[Shapes]:
        """The same size for all, then for one input alone; without a batch dimension the first that varies is probably it."""
        if not self.sized:
            return
        groups: list[Sequence[ModelInput]] = [self.sized]
        groups += [[one] for one in self.sized] if len(self.sized) > 1 else []
        for group in groups:
            for size in self.sizes:
                for keep_first in (True, False) if not self._config.max_batch_size else (False,):
                    shapes = {one.name: _of_size(one, size, keep_first) for one in group}
                    if sum(map(math.prod, shapes.values())) <= _MOST_ELEMENTS:
                        yield shapes

    def values(self, shapes: Shapes, usual: Ranges, bounds: Sequence[int]) -> Iterator[Ranges]:
        """Ranges of values that models want, the most likely ones first.

        Args:
            bounds: the largest numbers that complaints have named.
        """
        whole = {one.name for one in self.whole}
        likely = {name: hint.likely for name, hint in self._hints.items() if hint.likely and name in whole}
        rates = {name: _RATES for name in whole if _IS_RATE.search(name)}
        known = {**likely, **rates}
        for turn in range(max(map(len, known.values()), default=0)):
            yield {**usual, **{name: _only(values[turn % len(values)]) for name, values in known.items()}}
        lengths = {name for name in whole if _LENGTHS.search(name)}
        size = max((max(shape, default=1) for shape in shapes.values()), default=1)
        if lengths and shapes:
            yield {**usual, **{name: _only(size) for name in lengths}}
        for bound in bounds:
            within = {one.name: Range(0, min(bound, _largest(one))) for one in self.whole}
            yield {**usual, **within}
            if len(within) > 1:
                for name, values in within.items():
                    yield {**usual, name: values}
        if usual:
            yield {}
        for value in (0, 1):
            if whole:
                yield dict.fromkeys(whole, _only(value))
        if self.real:
            yield {**usual, **{one.name: Range(0.01, 1) for one in self.real}}


def _of_size(one: ModelInput, size: int, keep_first: bool) -> tuple[int, ...]:
    first = next(axis for axis, dim in enumerate(one.dims) if dim < 0)
    return tuple((1 if keep_first and axis == first else size) if dim < 0 else dim for axis, dim in enumerate(one.dims))


def _only(value: int) -> Range:
    return Range(value, value)


def _largest(one: ModelInput) -> int:
    return min(int(np.iinfo(one.kind.dtype).max), 2**31 - 1)
