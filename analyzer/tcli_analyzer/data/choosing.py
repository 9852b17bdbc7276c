"""What a user gave on the command line: files, folders, patterns, shapes, ranges, for one input or for all."""

import difflib
import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.column import Column, Limits
from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.generated import GeneratedColumn, Strings, read_range
from tcli_analyzer.data.model_input import ModelInput, model_inputs
from tcli_analyzer.data.npy_file import NpyColumn, refuse_npz
from tcli_analyzer.data.pictures import picture_column, takes_pictures
from tcli_analyzer.data.raw_file import LinesColumn, RawColumn, raw_column
from tcli_client.picture import picture_suffixes
from tcli_client.picture_kind import UNREADABLE_SUFFIXES

RANDOM, ZERO = "random", "zero"
FORMS = (
    "pictures, .npy, .json, .jsonl, .txt (a string a line), .bin or .raw (plain bytes), folders of them, random, zero"
)

_SHAPE = re.compile(r"\d+(,\d+)*")
_NPY = (".npy",)
_JSON = (".json", ".jsonl", ".ndjson")
_TEXT = (".txt",)
_RAW = (".bin", ".raw", ".data")


@dataclass
class Choice:
    """What is used for a model.

    Attributes:
        columns: by input.
        json: files with entries for all inputs.
        zero: inputs without data are zeros.
    """

    inputs: dict[str, ModelInput]
    columns: dict[str, Column] = field(default_factory=dict)
    json: list[Path] = field(default_factory=list)
    zero: bool = False


def choose(
    given: Sequence[str],
    config: ModelConfig,
    shapes: Mapping[str, Sequence[int]],
    limits: Limits,
    strings: Strings,
    seed: int,
) -> Choice:
    """Find out what was given for which input.

    Args:
        given: `PATH`, `random`, `zero`, or `NAME:` before a path, `random`, `zero`, a shape `3,224,224` or a range `0..9`.

    Raises:
        DataError: it is nothing of that, not there, or does not go with the model.
    """
    names = [one.name for one in config.input]
    parts = [_split(text, names) for text in given]
    said = {name: tuple(map(int, rest.split(","))) for name, rest in parts if name and _SHAPE.fullmatch(rest)}
    chooser = _Chooser(config, model_inputs(config, {**shapes, **said}), limits, strings, seed)
    for name, rest in parts:
        if name and _SHAPE.fullmatch(rest):
            continue
        if name:
            chooser.take_for(chooser.choice.inputs[name], rest)
        else:
            chooser.take(rest)
    choice = chooser.choice
    if choice.json and choice.columns:
        first = next(iter(choice.columns))
        raise DataError(
            f"{choice.json[0]}: entries have all inputs, and '{first}' is given by itself as well",
            "leave out one of the two",
        )
    return choice


def _split(text: str, names: Sequence[str]) -> tuple[str, str]:
    """The input's name, empty for all, and the rest; a name may have colons itself."""
    for name in sorted(names, key=len, reverse=True):
        if text.startswith(f"{name}:"):
            return name, text[len(name) + 1 :]
    return "", text


class _Chooser:
    def __init__(
        self, config: ModelConfig, inputs: dict[str, ModelInput], limits: Limits, strings: Strings, seed: int
    ) -> None:
        self.choice = Choice(inputs)
        self._config = config
        self._limits = limits
        self._strings = strings
        self._seed = seed

    def take(self, text: str) -> None:
        """What has no name of an input."""
        if text in (RANDOM, ZERO):
            self.choice.zero = text == ZERO
            return
        path = Path(text)
        if path.is_dir():
            self._take_folder(path, text)
        elif path.exists():
            self._take_file(path, text)
        elif glob.has_magic(text):
            self._take_pictures(text)
        else:
            raise self._missing(text)

    def take_for(self, to: ModelInput, text: str) -> None:
        """What is for one input."""
        path = Path(text)
        values = read_range(text, to)
        if values is not None or text in (RANDOM, ZERO):
            column: Column = GeneratedColumn(to, self._seed, zero=text == ZERO, values=values, strings=self._strings)
        elif not path.exists() and not glob.has_magic(text):
            raise self._missing(text, to)
        elif path.is_dir() or not path.exists():
            column = picture_column(text, self._config, to)
        else:
            column = self._column(path, to)
        self._add(to, column)

    def _add(self, to: ModelInput, column: Column) -> None:
        if to.name in self.choice.columns:
            other = self.choice.columns[to.name].source
            raise DataError(f"input '{to.name}' is given twice: {other} and {column.source}", "leave out one of them")
        self.choice.columns[to.name] = column

    def _take_folder(self, folder: Path, text: str) -> None:
        files = _files(folder)
        if not files:
            raise DataError(f"{text}: there is no file in this folder (hidden ones do not count)")
        own = [file for file in files if file.name in self.choice.inputs]
        if own:
            for file in own:
                to = self.choice.inputs[file.name]
                self._add(to, raw_column(file, to, self._limits))
            return
        arrays = [file for file in files if file.suffix.lower() in _NPY]
        named = [file for file in arrays if file.stem in self.choice.inputs]
        documents = [file for file in files if file.suffix.lower() in _JSON]
        if not named and any(file.suffix.lower() in _pictures() for file in files):
            self._take_pictures(text)  # whatever describes them beside them
            return
        for file in named or documents or arrays:
            self._take_file(file, str(file))
        if not (named or documents or arrays):
            self._take_pictures(text)  # which says what is there instead

    def _take_file(self, path: Path, text: str) -> None:
        suffix = path.suffix.lower()
        if suffix in _JSON:
            self.choice.json.append(path)
        elif suffix in _pictures() and not self._named(path):
            self._take_pictures(text)
        else:
            to = self._named(path) or self._only(path)
            self._add(to, self._column(path, to))

    def _take_pictures(self, argument: str) -> None:
        inputs = self.choice.inputs.values()
        fitting = [one for one in inputs if one.kind.size and takes_pictures(self._config, one)]
        fitting = fitting or [one for one in inputs if not one.kind.size]
        if not fitting and len(inputs) == 1:
            fitting = list(inputs)  # whose fault is then told
        if len(fitting) != 1:
            which = f"several do: {', '.join(one.name for one in fitting)}" if fitting else "none does"
            raise DataError(
                f"{argument}: which input takes these pictures? {which}; the inputs are {_listed(inputs)}",
                f"name it: NAME:{argument}",
            )
        self._add(fitting[0], picture_column(argument, self._config, fitting[0]))

    def _column(self, path: Path, to: ModelInput) -> Column:
        suffix = path.suffix.lower()
        if suffix in _NPY:
            return NpyColumn(path, to)
        if suffix == ".npz":
            raise refuse_npz(path)
        if suffix in _TEXT and not to.kind.size:
            return LinesColumn(path, to, self._limits)
        if suffix in _RAW or path.name == to.name:
            return RawColumn(path, to) if to.kind.size else raw_column(path, to, self._limits)
        if suffix in _pictures():
            return picture_column(str(path), self._config, to)
        if suffix in _JSON:
            raise DataError(f"{path}: a JSON file has all inputs of an entry", f"give it without '{to.name}:'")
        if suffix in _TEXT:
            raise DataError(
                f"{path}: input '{to.name}' takes {to.described}, not strings",
                "save numbers as .npy: numpy.save(path, array)",
            )
        raise DataError(f"{path}: data of this kind ('{suffix or path.name}') is not read", f"what is read: {FORMS}")

    def _named(self, path: Path) -> ModelInput | None:
        """The input that a file is named after."""
        return self.choice.inputs.get(path.name) or self.choice.inputs.get(path.stem)

    def _only(self, path: Path) -> ModelInput:
        inputs = self.choice.inputs
        if len(inputs) == 1:
            return next(iter(inputs.values()))
        raise DataError(
            f"{path}: for which input? The file is not named after one; the inputs are {_listed(inputs.values())}",
            f"name it: NAME:{path}, or rename the file NAME{path.suffix}",
        )

    def _missing(self, text: str, to: ModelInput | None = None) -> DataError:
        name, colon, _ = text.partition(":")
        if to is None and colon and not Path(name).exists() and "/" not in name:
            close = difflib.get_close_matches(name, self.choice.inputs, 1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            return DataError(
                f"'{text}': there is no such file, and the model has no input '{name}'",
                f"{hint}its inputs are {', '.join(self.choice.inputs)}",
            )
        path = Path(text)
        there = [file.name for file in _files(path.parent)] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, there, 1)
        hint = f"did you mean '{path.parent / close[0]}'? " if close else ""
        return DataError(f"{text}: there is no such file or folder", f"{hint}expected {FORMS}")


def _pictures() -> frozenset[str]:
    """Endings of pictures' names, but for those that plain bytes have as well."""
    return (picture_suffixes() | UNREADABLE_SUFFIXES) - set(_RAW)


def _files(folder: Path) -> list[Path]:
    """Of a folder, without hidden ones, sorted.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {error.strerror or error}") from None


def _listed(inputs: Iterable[ModelInput]) -> str:
    return ", ".join(f"{one.name} ({one.described})" for one in inputs)
