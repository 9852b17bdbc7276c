"""Finds made-up inputs that a model takes: sizes that run, numbers within the bounds of its tables."""

import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.choosing import ZERO
from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.generated import Range
from tcli_analyzer.data.model_input import ModelInput
from tcli_analyzer.data.source import DataSource
from tcli_analyzer.data.tries import Ranges, Shapes, Tries
from tcli_server.backends.registry import backend, is_installed, kind_of
from tcli_server.backends.value_hint import ValueHint
from tcli_server.errors import ServerError

Answers = Callable[[DataSource], str]
"""Sends a request of a source to the model; the server's complaint, empty where it answers."""


class Fatal(str):
    """A complaint that is the end of the model's process: it crashed, hangs, or holds more memory than it may."""

    __slots__ = ()


SECONDS = 60.0
"""About so long is looked for inputs that a model takes."""

_LONGEST = 300
_BOUNDS = re.compile(r"\[-?\d+,\s*(\d+)\]")
"""Of a table, as ONNX Runtime complains: "must be within the inclusive range [-10,9]"."""

_PRELUDE = re.compile(r"^(\[request id: [^\]]*\]\s*)?(onnx runtime error: )?(\[ONNXRuntimeError\] : \d+ : \w+ : )?")
_PLACE = re.compile(r"^/\S+\.(cc|h|cu):\d+ .*?\)( const)? (?=\S)")


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
    inputs = look.inputs
    made_up = {name: inputs[name] for name in look.made_up}
    real = [
        size
        for name, shape in look.shapes.items()
        if name not in made_up
        for size, dim in zip(shape, inputs[name].dims, strict=True)
        if dim < 0
    ]
    tries = Tries(config, made_up, hints or {}, real, any_value=ZERO not in source.given)
    search = _Search(source, config, made_up, answers, tries, time.monotonic() + seconds)
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
        tries: Tries,
        end: float,
    ) -> None:
        self._source = source
        self._config = config
        self._made_up = made_up
        self._answers = answers
        self._tries = tries
        self._end = end
        self._bounds: dict[int, None] = {}
        self._tried: dict[str, tuple[Shapes, Ranges]] = {}

    def run(self) -> Suited:
        usual = {**self._tries.tables(), **self._tries.rates()}
        likely = self._tries.likely_sizes()
        first = self._problem(likely, usual)
        if not first:
            return self._found(likely, usual, first)
        if not self._made_up:
            what = "fails on" if isinstance(first, Fatal) else "refuses"
            raise DataError(f"model '{self._config.name}' {what} the given inputs: {_short(first)}")
        for shapes, ranges in self._candidates(usual, bool(likely)):
            if time.monotonic() > self._end:
                break
            if not self._problem(shapes, ranges):
                return self._found(shapes, ranges, first)
        raise self._failed(first) if isinstance(first, Fatal) else self._refused(first)

    def _candidates(self, usual: Ranges, with_ones: bool) -> Iterator[tuple[Shapes, Ranges]]:
        """Sizes first: a wrong size is what most models complain of. Then values, then both.

        Args:
            with_ones: whether sizes of 1 are still to be tried.
        """
        sizes = [*([{}] if with_ones else ()), *self._tries.all_sizes()]
        for shapes in sizes:
            yield shapes, usual
        for ranges in self._tries.values({}, usual, list(self._bounds)):
            yield {}, ranges
        for shapes in sizes:
            for ranges in self._tries.values(shapes, usual, list(self._bounds)):
                yield shapes, ranges

    def _problem(self, shapes: Shapes, ranges: Ranges) -> str:
        source = self._with(shapes, ranges)
        text = f"{sorted(shapes.items())} {sorted(ranges.items())}"
        if text in self._tried:
            return "tried before"
        self._tried[text] = shapes, ranges
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
            usual = "as of what was given" if self._tries.real_size else "usual ones of pictures and texts"
            reason = f"others are refused ({_short(first)})" if first else usual
            said = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            notes.append(f"sizes that vary are {said}: {reason}; --shape NAME:d1,d2 sets others")
        tables, rates = self._tries.tables(), self._tries.rates()
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
        options = [f"--shape {one.name}:{_open_shape(one)}" for one in self._tries.sized]
        options += [f"--input {one.name}:LOW..HIGH" for one in self._tries.whole]
        options += [f"--input {name}:FILE.npy" for name in list(self._made_up)[:1]]
        return DataError(
            f"model '{self._config.name}' refuses made-up inputs {self._named()}: {_short(first)}; tried {self._told()}",
            f"say what it takes: {' or '.join(options)}",
        )

    def _failed(self, first: str) -> DataError:
        """The first request already was the end of the model's process, and no other went better."""
        others = f"; tried {self._told()}" if len(self._tried) > 1 else ""
        return DataError(
            f"model '{self._config.name}' fails on its first request, with made-up inputs {self._named()}: {_short(first)}{others}",
            f"if the made-up values are the reason, give real ones: --input {next(iter(self._made_up))}:FILE.npy",
        )

    def _named(self) -> str:
        return ", ".join(f"'{one.name}' ({one.described})" for one in self._made_up.values())

    def _told(self) -> str:
        """What was tried."""
        tables, usual = self._tries.tables(), {**self._tries.tables(), **self._tries.rates()}
        told = ["random values within the model's tables" if tables else "random values"]
        sizes: set[int] = set()
        values: dict[str, dict[str, None]] = {"whole numbers": {}, "fractions": {}}
        for shapes, ranges in self._tried.values():
            for one in self._tries.sized:
                shape = shapes.get(one.name, (1,) * len(one.dims))
                sizes |= {size for size, dim in zip(shape, one.dims, strict=True) if dim < 0}
            for what, inputs in (("whole numbers", self._tries.whole), ("fractions", self._tries.real)):
                chosen = [
                    ranges[one.name]
                    for one in inputs
                    if ranges.get(one.name, usual.get(one.name)) != usual.get(one.name)
                ]
                values[what] |= dict.fromkeys(map(_brief, chosen))
        listed = {"sizes": [*map(str, sorted(sizes))], **values}
        told += [f"{what} {', '.join(each)}" for what, each in listed.items() if each]
        return "; ".join(told)


def _written(values: Range) -> str:
    return f"{values.low:.12g}..{values.high:.12g}"


def _brief(values: Range) -> str:
    return f"{values.low:.12g}" if values.low == values.high else _written(values)


def _open_shape(one: ModelInput) -> str:
    return ",".join("N" if dim < 0 else str(dim) for dim in one.dims)


def _short(problem: str) -> str:
    """What a server complains of, without its preludes and the places in somebody's source code."""
    text = " ".join(_PRELUDE.sub("", problem.strip()).split())
    text = _PLACE.sub("", text.rpartition("Status Message: ")[2])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
