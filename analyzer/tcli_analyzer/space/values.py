"""Values of dimensions as people write them, on the command line and in files."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.space.dimensions import DIMENSIONS, Space, usual_concurrency
from tcli_analyzer.space.engines import ENGINES_OWN, Engines
from tcli_analyzer.space.facts import Facts

LARGEST = 1_000_000
"""The largest number of anything: more is a slip of the keyboard, and would end in no memory."""

_MOST_VALUES = 1_000
_MOST_DELAY_US = 60_000_000
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(us|µs|ms|s)?", re.ASCII)
_UNITS = {None: 1.0, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,127}", re.ASCII)
_LEVELS = {"all": 0, "basic": -1, "extended": 1, "none": 2}
_PRECISIONS = {"f32": "f32", "bf16": "bf16", "f16": "f16", "auto": ENGINES_OWN, "fp32": "f32", "fp16": "f16"}


@dataclass(frozen=True, slots=True)
class Dimension:
    """How a dimension is written.

    Attributes:
        field: of `Space`.
        read: one value from its text; raises ValueError.
        expected: in words, for messages.
        example: what fits.
    """

    field: str
    read: Callable[[str], Any]
    expected: str
    example: str


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= LARGEST):
            raise ValueError(text)
        return int(text)

    return read


def _rate(text: str) -> float:
    if not re.fullmatch(r"\d{1,7}(\.\d{1,6})?", text, re.ASCII) or not 0 < float(text) <= LARGEST:
        raise ValueError(text)
    return float(text)


def _delay(text: str) -> int:
    match = _DELAY.fullmatch(text)
    microseconds = float(match[1]) * _UNITS[match[2]] if match else -1.0
    if not 0 <= microseconds <= _MOST_DELAY_US:
        raise ValueError(text)
    return round(microseconds)


def _preferred(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(sorted({_whole(1)(part.strip()) for part in text.split("+")}))


def _threads(text: str) -> int:
    return 0 if text == "auto" else _whole(0)(text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(text)
    return text


def _precision(text: str) -> str:
    return str(_word(text.lower(), _PRECISIONS))


def _level(text: str) -> int:
    return int(text) if text in ("0", "-1", "1", "2") else _word(text, _LEVELS)


def _word(text: str, known: Mapping[str, Any]) -> Any:
    if text in known:
        return known[text]
    near = difflib.get_close_matches(text, known, 1)
    raise ValueError(f"did you mean {near[0]}?" if near else text)


_COUNTS = f"whole numbers from 1 to {LARGEST:,}"

READERS: dict[str, Dimension] = {
    "batch_sizes": Dimension("max_batch_sizes", _whole(1), _COUNTS, "1,2,4,8"),
    "instance_counts": Dimension("instances", _whole(1), _COUNTS, "1,2"),
    "client_batch_sizes": Dimension("client_batch_sizes", _whole(1), _COUNTS, "1,4"),
    "concurrency": Dimension("concurrency", _whole(1), _COUNTS, "1,2,4,8,16"),
    "request_rates": Dimension("request_rates", _rate, "requests a second, above 0", "10,20,40"),
    "queue_delays": Dimension(
        "queue_delays_us", _delay, "microseconds, or times such as 500us or 1ms, at most 60s", "0,500us,2ms"
    ),
    "preferred_batch_sizes": Dimension(
        "preferred_batch_sizes", _preferred, "sizes with + between that belong together, or none", "none,4,4+8"
    ),
    "threads": Dimension(
        "threads", _threads, "whole numbers of threads, or auto for the share of the cores", "auto,1,2"
    ),
    "engines": Dimension("engines", _name, "names of backends", "onnxruntime,openvino"),
    "providers": Dimension(
        "providers", _name, "names of execution providers: cpu, cuda, tensorrt or openvino", "cpu,cuda"
    ),
    "precisions": Dimension(
        "precisions", _precision, "f32, bf16, f16, or auto for the engine's own choice", "f32,bf16"
    ),
    "graph_levels": Dimension("graph_levels", _level, "all, extended, basic or none", "all,basic"),
}
"""By the option's name with underscores, which is the key in files, too."""


def parse_values(key: str, text: str) -> tuple[Any, ...]:
    """`"1,2,4"` -> (1, 2, 4): the values of a dimension in one text with commas between.

    Args:
        key: of `READERS`.

    Raises:
        ValueError: with what was found, what is expected, and an example.
    """
    return read_values(key, [part.strip() for part in text.split(",")])


def read_values(key: str, texts: Sequence[str]) -> tuple[Any, ...]:
    """The same where the values are separate already."""
    dimension = READERS[key]
    expected = f"expected {dimension.expected}, such as {dimension.example}"
    if not texts:
        raise ValueError(f"no value: {expected}")
    if len(texts) > _MOST_VALUES:
        raise ValueError(f"{len(texts):,} values: expected at most {_MOST_VALUES:,}")
    found = []
    for text in texts:
        try:
            found.append(dimension.read(text))
        except ValueError as error:
            hint = f"; {error}" if str(error).startswith("did you mean") else ""
            raise ValueError(f"'{text[:60]}': {expected}{hint}") from None
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class SpaceValues:
    """What somebody wants of a space; None where nothing is said of a dimension, and no values for the model's own one.

    The fields are those of `Space`.

    Attributes:
        fixed: what nothing is said of keeps the model's own value, instead of being tried in several.
    """

    max_batch_sizes: tuple[int, ...] | None = None
    instances: tuple[int, ...] | None = None
    client_batch_sizes: tuple[int, ...] | None = None
    concurrency: tuple[int, ...] | None = None
    request_rates: tuple[float, ...] | None = None
    queue_delays_us: tuple[int, ...] | None = None
    preferred_batch_sizes: tuple[tuple[int, ...], ...] | None = None
    threads: tuple[int, ...] | None = None
    engines: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    precisions: tuple[str, ...] | None = None
    graph_levels: tuple[int, ...] | None = None
    fixed: bool = False

    @classmethod
    def of_options(cls, **texts: str | None) -> Self:
        """From options of the command line, by their names with underscores; None and empty for what was not given.

        Raises:
            ValueError: as `parse_values`, with the option's name before it.
        """
        found: dict[str, Any] = {}
        for key, text in texts.items():
            try:
                found.update({READERS[key].field: parse_values(key, text)} if text else {})
            except ValueError as error:
                raise ValueError(f"--{key.replace('_', '-')} {error}") from None
        return cls(**found)

    def over(self, other: Self) -> Self:
        """These, and where they say nothing, the other's: the command line over the file, a model's over those of all."""
        said: dict[str, Any] = {name: getattr(self, name) for name in DIMENSIONS if getattr(self, name) is not None}
        loads = {"concurrency", "request_rates"}
        if loads & said.keys():  # one way of asking replaces the other
            said = {**dict.fromkeys(loads), **said}
        return replace(other, **said, fixed=self.fixed or other.fixed)

    def space(self, facts: Facts, base: ModelConfig, engines: Engines, batches: bool) -> Space:
        """The space of a model: what is wanted, and else the default of this machine and this model.

        Args:
            batches: the model takes batches; else sizes that are wanted mean nothing.
        """
        own = Space.own(base, batches)
        space = own if self.fixed else Space.default(facts, base, engines, batches)
        if self.concurrency is None and self.request_rates is not None:
            space = replace(space, concurrency=())
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "fixed"}
        wanted = {name: value or getattr(own, name) for name, value in said.items() if value is not None}
        if not batches:
            wanted.pop("max_batch_sizes", None)
            wanted.pop("client_batch_sizes", None)
        if "engines" in wanted and "providers" not in wanted:
            wanted["providers"] = _providers(wanted["engines"], space, engines)
        space = replace(space, **wanted)
        if self.concurrency is None and self.request_rates is None:
            space = replace(space, concurrency=usual_concurrency(space.max_batch_sizes))
        if self.precisions is None:
            chosen = [one for one in engines.choices if one.engine in space.engines and one.provider in space.providers]
            words = [word for word in space.precisions if any(one.meaning(word) is not None for one in chosen)]
            space = replace(space, precisions=tuple(words) or (ENGINES_OWN,))
        return space


def _providers(wanted: Sequence[str], space: Space, engines: Engines) -> tuple[str, ...]:
    """The default ones that the wanted engines have, or else each engine's first."""
    there = [one for one in engines.choices if one.engine in wanted]
    usual = [one.provider for one in there if one.provider in space.providers]
    return tuple(dict.fromkeys(usual or [one.provider for one in there][:1])) or space.providers
