"""Finds made-up inputs that a model takes: sizes that run, numbers within the bounds of its tables."""

import math
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.generated import Range
from tcli_analyzer.data.model_input import ModelInput, model_inputs
from tcli_analyzer.data.pictures import takes_pictures
from tcli_analyzer.data.source import DataSource
from tcli_client.image_model import DEFAULT_SIDE
from tcli_server.backends.registry import backend, is_installed, kind_of
from tcli_server.backends.value_hint import ValueHint
from tcli_server.errors import ServerError

Answers = Callable[[DataSource], str]
"""Sends a request of a source to the model; the server's complaint, empty where it answers."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 224, 256, 512, 640)
"""Tried in turn for dimensions of any size."""

TEXT_LENGTH = 128
"""Words of a text that is made up."""

_WORDS = 1000
"""An input whose values are places in a table of so many rows is one of words."""

SECONDS = 60.0
"""About so long is looked for inputs that a model takes."""

_MOST_ELEMENTS = 1 << 25
_RATES = (16_000, 8_000)
_LONGEST = 300
_BOUNDS = re.compile(r"\[-?\d+,\s*(\d+)\]")
"""Of a table, as ONNX Runtime complains: "must be within the inclusive range [-10,9]"."""

_PRELUDE = re.compile(r"^(\[request id: [^\]]*\]\s*)?(onnx runtime error: )?(\[ONNXRuntimeError\] : \d+ : \w+ : )?")
_PLACE = re.compile(r"^/\S+\.(cc|h|cu):\d+ .*?\)( const)? (?=\S)")

_LENGTHS = re.compile(r"len", re.IGNORECASE)
_IS_RATE = re.compile(r"^sr$|rate", re.IGNORECASE)

Ranges = Mapping[str, Range]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Suited:
    """Inputs that the model takes.

    Attributes:
        source: makes them.
        notes: what was found out and would not be guessed, one sentence each.
        options: what says the same on the command line: "--shape x:4 --input rate:16000..16000"; empty where nothing is to be said.
    """

    source: DataSource
    notes: tuple[str, ...] = ()
    options: str = ""


def suit(
    source: DataSource,
    config: ModelConfig,
    answers: Answers,
    hints: Mapping[str, ValueHint] | None = None,
    seconds: float = SECONDS,
) -> Suited:
    """Sizes and values for what is made up, with which the model answers. What the user gave stays as it is.

    Args:
        config: complete.
        answers: asks the model; called until it answers, or there is nothing left to try.
        hints: of the model file, see `hints_of`.
        seconds: about so long.

    Raises:
        DataError: the model refuses all of it, or what the user gave; says what was tried, and which options give others.
    """
    look = source.look(config)
    inputs = model_inputs(config, source.shapes)
    made_up = {name: inputs[name] for name in look.made_up}
    real = [
        size
        for name, shape in look.shapes.items()
        if name not in made_up
        for size, dim in zip(shape, inputs[name].dims, strict=True)
        if dim < 0
    ]
    search = _Search(source, config, made_up, answers, hints or {}, real, time.monotonic() + seconds)
    return search.run()


def hints_of(config: ModelConfig, model_file: Path) -> Mapping[str, ValueHint]:
    """What the model's file says of its values; nothing where it cannot be read, or is of a backend that does not tell."""
    kind = kind_of(config.backend)
    if kind is None or not is_installed(kind):
        return {}
    try:
        return backend(kind.name).value_hints(model_file)
    except ServerError:  # told when it is loaded
        return {}


class _Search:
    def __init__(
        self,
        source: DataSource,
        config: ModelConfig,
        made_up: Mapping[str, ModelInput],
        answers: Answers,
        hints: Mapping[str, ValueHint],
        real_sizes: Sequence[int],
        end: float,
    ) -> None:
        self._source = source
        self._config = config
        self._made_up = made_up
        self._answers = answers
        self._hints = hints
        self._real_size = real_sizes[0] if real_sizes else 0
        self._tried_sizes = tuple(dict.fromkeys([*real_sizes, *SIZES[1:]]))
        self._end = end
        self._whole = [one for one in made_up.values() if one.kind.dtype.kind in "iu"]
        self._real = [one for one in made_up.values() if one.kind.name.startswith(("FP", "BF"))]
        self._sized = [one for one in made_up.values() if one.varies]
        self._bounds: dict[int, None] = {}
        self._tried: set[str] = set()

    def run(self) -> Suited:
        usual = {**self._tables(), **self._rates()}
        likely = self._likely_sizes()
        first = self._problem(likely, usual)
        if not first:
            return self._found(likely, usual, first)
        if not self._made_up:
            raise DataError(f"model '{self._config.name}' refuses the given inputs: {_short(first)}")
        for shapes, ranges in self._candidates(usual, bool(likely)):
            if time.monotonic() > self._end:
                break
            if not self._problem(shapes, ranges):
                return self._found(shapes, ranges, first)
        raise self._refused(first)

    def _candidates(self, usual: Ranges, with_ones: bool) -> Iterator[tuple[Shapes, Ranges]]:
        """Sizes first: a wrong size is what most models complain of. Then values, then both.

        Args:
            with_ones: whether sizes of 1 are still to be tried.
        """
        sizes = [*([{}] if with_ones else ()), *self._sizes()]
        for shapes in sizes:
            yield shapes, usual
        for ranges in self._values({}, usual):
            yield {}, ranges
        for shapes in sizes:
            for ranges in self._values(shapes, usual):
                yield shapes, ranges

    def _sizes(self) -> Iterator[Shapes]:
        """The same size for all, then for one input alone; without a batch dimension the first that varies is probably it."""
        if not self._sized:
            return
        groups: list[Sequence[ModelInput]] = [self._sized]
        groups += [[one] for one in self._sized] if len(self._sized) > 1 else []
        for group in groups:
            for size in self._tried_sizes:
                for keep_first in (True, False) if not self._config.max_batch_size else (False,):
                    shapes = {one.name: _of_size(one, size, keep_first) for one in group}
                    if sum(map(math.prod, shapes.values())) <= _MOST_ELEMENTS:
                        yield shapes

    def _values(self, shapes: Shapes, usual: Ranges) -> Iterator[Ranges]:
        """Ranges of values that models want, the most likely ones first."""
        whole = {one.name for one in self._whole}
        likely = {name: hint.likely for name, hint in self._hints.items() if hint.likely and name in whole}
        rates = {name: _RATES for name in whole if _IS_RATE.search(name)}
        known = {**likely, **rates}
        for turn in range(max(map(len, known.values()), default=0)):
            yield {**usual, **{name: _only(values[turn % len(values)]) for name, values in known.items()}}
        lengths = {name for name in whole if _LENGTHS.search(name)}
        size = max((max(shape, default=1) for shape in shapes.values()), default=1)
        if lengths and shapes:
            yield {**usual, **{name: _only(size) for name in lengths}}
        for bound in list(self._bounds):
            yield {**usual, **{name: Range(0, bound) for name in whole}}
            if len(whole) > 1:
                for name in whole:
                    yield {**usual, name: Range(0, bound)}
        if usual:
            yield {}
        for value in (0, 1):
            if whole:
                yield dict.fromkeys(whole, _only(value))
        if self._real:
            yield {**usual, **{one.name: Range(0.01, 1) for one in self._real}}

    def _tables(self) -> Ranges:
        """All rows of the tables that an input's values are places in: what real ones are, as far as anybody knows."""
        found = {}
        for one in self._whole:
            high = self._hints[one.name].high if one.name in self._hints else -1
            if high >= 0:
                found[one.name] = Range(0, min(high, 2**31 - 1))
        return found

    def _likely_sizes(self) -> Shapes:
        """Of what was given, of pictures and texts: a single pixel or word would run, and tell nobody anything."""
        pictures = {one.name for one in self._sized if takes_pictures(self._config, one)}
        tables = self._tables()
        is_text = any(one.name in tables and tables[one.name].high >= _WORDS for one in self._sized)
        found = {}
        for one in self._sized:
            if one.name in pictures:
                found[one.name] = _of_size(one, DEFAULT_SIDE, keep_first=len(one.dims) > 3)
            elif self._real_size or (is_text and one in self._whole):
                keep_first = not self._config.max_batch_size and sum(dim < 0 for dim in one.dims) > 1
                found[one.name] = _of_size(one, self._real_size or TEXT_LENGTH, keep_first)
        return found

    def _rates(self) -> Ranges:
        """Inputs that are a sample rate by their name: one that the model knows."""
        names = [one.name for one in self._whole if _IS_RATE.search(one.name)]
        known = {name: self._hints[name].likely for name in names if name in self._hints}
        return {name: _only((*known.get(name, ()), *_RATES)[0]) for name in names}

    def _problem(self, shapes: Shapes, ranges: Ranges) -> str:
        source = self._with(shapes, ranges)
        text = f"{sorted(shapes.items())} {sorted(ranges.items())}"
        if text in self._tried:
            return "tried before"
        self._tried.add(text)
        problem = self._answers(source)
        for bound in _BOUNDS.findall(problem):
            self._bounds.setdefault(int(bound))
        return problem

    def _with(self, shapes: Shapes, ranges: Ranges) -> DataSource:
        return replace(self._source, shapes={**self._source.shapes, **shapes}, ranges={**ranges, **self._source.ranges})

    def _found(self, shapes: Shapes, ranges: Ranges, first: str) -> Suited:
        notes, options = [], []
        for name, shape in shapes.items():
            written = ",".join(map(str, shape))
            options.append(f"--shape {shlex.quote(f'{name}:{written}')}")
        if shapes:
            usual = "as of what was given" if self._real_size else "usual ones of pictures and texts"
            reason = f"others are refused ({_short(first)})" if first else usual
            said = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            notes.append(f"sizes that vary are {said}: {reason}; --shape NAME:d1,d2 sets others")
        tables, rates = self._tables(), self._rates()
        for name, values in ranges.items():
            written = _written(values)
            if values == rates.get(name):
                reason = "by its name a sample rate"
            elif values != tables.get(name):
                reason = f"others are refused ({_short(first)})"
            elif values.high > 1:
                reason = "the rows of the model's table"
            else:
                continue
            if values != tables.get(name):
                options.append(f"--input {shlex.quote(f'{name}:{written}')}")
            notes.append(f"values of {name} are {written}: {reason}; --input {name}:LOW..HIGH sets others")
        return Suited(self._with(shapes, ranges), tuple(notes), " ".join(options))

    def _refused(self, first: str) -> DataError:
        """Nothing helped: which inputs, what was tried, and what gives others."""
        named = ", ".join(f"'{one.name}' ({one.described})" for one in self._made_up.values())
        tried = ["random values" if not self._tables() else "random values within the model's tables"]
        if self._sized:
            tried.append(f"sizes 1, {', '.join(map(str, self._tried_sizes))}")
        if self._whole:
            tried.append("whole numbers 0, 1" + "".join(f", 0..{bound}" for bound in self._bounds))
        if self._real:
            tried.append("fractions 0.01..1")
        options = [f"--shape {one.name}:{_open_shape(one)}" for one in self._sized]
        options += [f"--input {one.name}:LOW..HIGH" for one in self._whole]
        options += [f"--input {name}:FILE.npy" for name in list(self._made_up)[:1]]
        return DataError(
            f"model '{self._config.name}' refuses made-up inputs {named}: {_short(first)}; tried {'; '.join(tried)}",
            f"say what it takes: {' or '.join(options)}",
        )


def _of_size(one: ModelInput, size: int, keep_first: bool) -> tuple[int, ...]:
    first = next(axis for axis, dim in enumerate(one.dims) if dim < 0)
    return tuple((1 if keep_first and axis == first else size) if dim < 0 else dim for axis, dim in enumerate(one.dims))


def _written(values: Range) -> str:
    return f"{values.low:.12g}..{values.high:.12g}"


def _only(value: int) -> Range:
    return Range(value, value)


def _open_shape(one: ModelInput) -> str:
    return ",".join("N" if dim < 0 else str(dim) for dim in one.dims)


def _short(problem: str) -> str:
    """What a server complains of, without its preludes and the places in somebody's source code."""
    text = " ".join(_PRELUDE.sub("", problem.strip()).split())
    text = _PLACE.sub("", text.rpartition("Status Message: ")[2])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
