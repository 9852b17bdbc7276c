"""Requests of what a user gave: files, folders, shapes, ranges."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.data.choosing import Choice, choose
from tcli_analyzer.data.column import Column, Limits
from tcli_analyzer.data.errors import DataError, UnusableItemError
from tcli_analyzer.data.generated import GeneratedColumn, Range, Strings
from tcli_analyzer.data.json_entries import Entries, read_entries
from tcli_analyzer.data.model_input import ModelInput
from tcli_analyzer.data.stacking import stacked
from tcli_analyzer.inputs import DIFFERENT_REQUESTS, Inputs, Requests, examples

_SHOWN = 3


@dataclass(frozen=True)
class Look:
    """What there is, after all of it was read once.

    Attributes:
        summary: for people: "100 items: photos (2,000 pictures)".
        items: that are used, each other ones.
        shapes: of each input, without the batch dimension; the most frequent where they differ.
        notes: what a user should know, one sentence each.
        sequences: the lengths of recorded sequences, in requests; empty where there are none.
        made_up: the inputs whose values are made up, as nothing was said of them.
        inputs: all of them, with the shapes that were given.
    """

    summary: str
    items: int
    shapes: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]
    sequences: tuple[int, ...] = ()
    made_up: tuple[str, ...] = ()
    inputs: Mapping[str, ModelInput] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSource:
    """As `Source`: what the user gave, read anew by whoever makes requests.

    Attributes:
        given: as `choose` takes it; nothing for random values.
        shapes: of inputs whose dims vary, without the batch dimension.
        ranges: of numbers that are made up, by input, where nothing else was given.
        count: of different requests that are made up.
    """

    given: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    strings: Strings = field(default_factory=Strings)
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    count: int = DIFFERENT_REQUESTS

    def make(self, config: ModelConfig, items: int) -> Requests:
        """As `Source.make`; with the lengths of recorded sequences, where the model has state.

        Raises:
            DataError: a file is wrong, or does not go with the model.
        """
        read = self._read(config, self.count * items)
        stateful = config.HasField("sequence_batching")
        if stateful and items > 1:
            raise DataError(
                f"model '{config.name}' keeps state (sequence_batching): a request has one item, not {items}",
                "leave out the batch size",
            )
        plain = [item for sequence in read.sequences for item in sequence]
        requests = Requests(stacked(plain, items, config.max_batch_size > 0))
        if stateful and read.nested:
            requests.lengths = tuple(map(len, read.sequences))
        return requests

    def look(self, config: ModelConfig) -> Look:
        """Read everything once, to tell what is wrong or worth saying before anything is measured.

        Raises:
            DataError: as `make`.
        """
        read = self._read(config, self.count)
        stateful = config.HasField("sequence_batching")
        notes = list(read.notes)
        if read.nested and not stateful:
            notes.append(
                "the lists of the input data (sequences) are sent as single requests: the model keeps no state"
            )
        count = read.count
        return Look(
            f"{count:,} item{'s' * (count != 1)}: {read.source}",
            count,
            _usual_shapes(item for sequence in read.sequences for item in sequence),
            tuple(notes),
            tuple(map(len, read.sequences)) if read.nested and stateful else (),
            tuple(read.made_up),
            read.inputs,
        )

    def _read(self, config: ModelConfig, wanted: int) -> "_Read":
        choice = choose(self.given, config, self.shapes, self.limits, self.strings, self.seed)
        if choice.json:
            entries = read_entries(choice.json, choice.inputs, config.max_batch_size > 0, self.limits)
            return _read_entries(entries, ", ".join(map(str, choice.json)), self.limits, choice.inputs)
        return self._read_columns(choice, config, wanted)

    def _read_columns(self, choice: Choice, config: ModelConfig, wanted: int) -> "_Read":
        notes: list[str] = []
        columns: dict[str, Column] = {}
        made_up = []
        usual = examples(config)
        for number, (name, one) in enumerate(choice.inputs.items()):
            if name in choice.columns:
                columns[name] = choice.columns[name]
            elif one.optional and choice.columns:
                notes.append(f"input '{name}' is optional and left out")
                continue
            else:
                columns[name] = GeneratedColumn(
                    one,
                    self.seed + number,
                    zero=choice.zero,
                    values=self.ranges.get(name),
                    strings=self.strings,
                    example=usual.get(name),
                )
                if choice.columns:
                    notes.append(f"input '{name}' has no data: {columns[name].source}")
                made_up.append(name)
        read = _rows(columns, wanted, self.limits)
        sources = dict.fromkeys(column.source for column in columns.values())
        return _Read([read.items], False, [*notes, *read.notes], ", ".join(sources), choice.inputs, made_up)


@dataclass
class _Read:
    sequences: list[list[Inputs]]
    nested: bool
    notes: list[str]
    source: str
    inputs: Mapping[str, ModelInput]
    made_up: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.sequences))


@dataclass
class _Rows:
    items: list[Inputs]
    notes: list[str]


def _rows(columns: Mapping[str, Column], wanted: int, limits: Limits) -> _Rows:
    """Items of what the columns have at the same place.

    Raises:
        DataError: they are of different lengths, or nothing in them can be read.
    """
    counts = {name: column.count for name, column in columns.items() if column.count is not None}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{columns[name].source} has {count:,}" for name, count in counts.items())
        raise DataError(f"the inputs have different numbers of items: {said}", "an item is made of one of each")
    there = next(iter(counts.values()), wanted)
    items: list[Inputs] = []
    unusable: list[str] = []
    size = 0
    places = _spread(there, limits.items) if counts else range(min(wanted, limits.items))
    for done, index in enumerate(places):
        try:
            item = {name: column.item(index) for name, column in columns.items()}
        except UnusableItemError as error:
            unusable.append(str(error))
            continue
        if not done and counts:
            fitting = max(1, limits.tensor_bytes // max(1, _size(item)))
            if fitting < len(places):
                return _rows(columns, wanted, Limits(fitting, limits.tensor_bytes, limits.file_bytes))
        items.append(item)
        size += _size(item)
        if size > limits.tensor_bytes:
            break
    notes = [note for column in columns.values() for note in column.notes]
    if not items:
        raise DataError(f"nothing of it can be read: {_some(unusable)}")
    if unusable:
        notes.append(f"{len(unusable):,} of {len(unusable) + len(items):,} are left out: {_some(unusable)}")
    if counts and len(items) + len(unusable) < there:
        notes.append(f"{len(items):,} of {there:,} items are used, evenly spread: more would fill the memory")
    return _Rows(items, notes)


def _read_entries(entries: Entries, source: str, limits: Limits, inputs: Mapping[str, ModelInput]) -> _Read:
    """As many as the limits allow; sequences are not cut."""
    kept: list[list[Inputs]] = []
    count = size = 0
    sequences = entries.sequences if entries.nested else [[item] for item in entries.sequences[0]]
    for sequence in sequences:
        count += len(sequence)
        size += sum(map(_size, sequence))
        if kept and (count > limits.items or size > limits.tensor_bytes):
            break
        kept.append(sequence)
    notes = list(entries.notes)
    if len(kept) < len(sequences):
        what = "sequences" if entries.nested else "items"
        notes.append(f"the first {len(kept):,} of {len(sequences):,} {what} are used: more would fill the memory")
    if not entries.nested:
        kept = [[item for sequence in kept for item in sequence]]
    return _Read(kept, entries.nested, notes, source, inputs)


def _spread(there: int, most: int) -> Sequence[int]:
    """At most so many places, evenly spread: files are often sorted by what they show."""
    if there <= most:
        return range(there)
    return [number * there // most for number in range(most)]


def _size(item: Inputs) -> int:
    return sum(
        array.nbytes if not array.dtype.hasobject else array.nbytes + sum(map(len, array.reshape(-1).tolist()))
        for array in item.values()
    )


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {more:,} more" if more > 0 else "")


def _usual_shapes(items: Iterable[Inputs]) -> dict[str, tuple[int, ...]]:
    counted: dict[str, Counter[tuple[int, ...]]] = {}
    for item in items:
        for name, array in item.items():
            counted.setdefault(name, Counter())[array.shape] += 1
    return {name: shapes.most_common(1)[0][0] for name, shapes in counted.items()}
