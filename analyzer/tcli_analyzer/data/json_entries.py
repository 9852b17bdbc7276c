"""Items from JSON: perf_analyzer's `{"data": [...]}`, and requests of the V2 protocol."""

import base64
import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tcli_analyzer.data.column import Limits
from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.model_input import ModelInput
from tcli_analyzer.data.raw_file import read_whole
from tcli_analyzer.data.v2_request import is_v2, v2_items
from tcli_analyzer.inputs import Inputs

_PARAMETERS = "parameters"
_LINES = (".jsonl", ".ndjson")


@dataclass
class Entries:
    """What the files hold.

    Attributes:
        sequences: items, without the batch dimension, of each sequence; a single one where there is no nesting.
        nested: they are sequences.
        notes: what was left out, one sentence each.
    """

    sequences: list[list[Inputs]] = field(default_factory=list)
    nested: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Of items."""
        return sum(map(len, self.sequences))

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)


def read_entries(paths: Sequence[Path], inputs: Mapping[str, ModelInput], batches: bool, limits: Limits) -> Entries:
    """All items of some files.

    Args:
        batches: shapes of V2 requests begin with a batch dimension.

    Raises:
        DataError: a file is not JSON, or an entry does not fit the model.
    """
    found = Entries()
    plain: list[Inputs] = []
    for path in paths:
        for place, entry in _entries(path, limits, found):
            if isinstance(entry, list):
                found.nested = True
                steps = [
                    item
                    for number, step in enumerate(entry)
                    for item in _items(step, f"{place}[{number}]", inputs, batches, found)
                ]
                if not steps:
                    raise DataError(f"{place}: a sequence without requests", "leave it out")
                found.sequences.append(steps)
            else:
                plain += _items(entry, place, inputs, batches, found)
    if plain and found.nested:
        raise DataError(
            f"{paths[0]}: some entries are lists (sequences) and some are objects (single requests)",
            "put the single requests into lists of their own: [{...}]",
        )
    if plain:
        found.sequences.append(plain)
    if not found.sequences:
        raise DataError(f"{paths[0]}: there is no entry in it", 'expected {"data": [{"INPUT": [...]}, ...]}')
    return found


def _entries(path: Path, limits: Limits, found: Entries) -> Iterator[tuple[str, Any]]:
    """Each entry with its place, for messages."""
    content = read_whole(path, limits)
    if path.suffix.lower() in _LINES:
        for number, line in enumerate(content.splitlines(), 1):
            if line.strip():
                yield f"{path}: line {number}", _parsed(line, f"{path}: line {number}")
        return
    document = _parsed(content, str(path))
    if isinstance(document, dict) and "validation_data" in document:
        found.note(f"{path}: validation_data is not used: answers are not compared with it")
    if is_v2(document):
        yield str(path), document
        return
    listed, name = (document.get("data"), "data") if isinstance(document, dict) else (document, "")
    if not isinstance(listed, list):
        there = ", ".join(map(str, list(document)[:5])) if isinstance(document, dict) else type(document).__name__
        raise DataError(
            f'{path}: expected {{"data": [...]}} as for perf_analyzer, or a V2 request {{"inputs": [...]}}; found {there}'
        )
    for number, entry in enumerate(listed):
        yield f"{path}: {name}[{number}]", entry


def _parsed(content: bytes, place: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as first:
        try:
            return json.loads(content)  # NaN and Infinity, which perf_analyzer reads
        except json.JSONDecodeError as error:
            raise DataError(f"{place}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
        except RecursionError:
            raise DataError(f"{place}: not JSON that is read: nested too deeply") from None
        except (UnicodeDecodeError, ValueError):
            raise DataError(f"{place}: not JSON: {first}") from None


def _items(entry: Any, place: str, inputs: Mapping[str, ModelInput], batches: bool, found: Entries) -> Sequence[Inputs]:
    """The items of an entry: one, or as many as a V2 request has."""
    if is_v2(entry):
        items = v2_items(entry, place, inputs, batches, found.note)
    elif isinstance(entry, dict):
        items = [_item(entry, place, inputs, found)]
    else:
        raise DataError(f'{place}: expected an object {{"INPUT": [...]}}, found {type(entry).__name__}')
    for name, one in inputs.items():
        if not one.optional and any(name not in item for item in items):
            there = [key for key in entry if key not in inputs] if not is_v2(entry) else []
            lowered = {key.lower(): key for key in there}
            close = [lowered[key] for key in difflib.get_close_matches(name.lower(), lowered, 1, 0.0)]
            raise DataError(
                f"{place}: input '{name}' is missing ({one.described})",
                f"is it '{close[0]}' there?" if close else f"it has {', '.join(items[0]) or 'no inputs'}",
            )
    return items


def _item(entry: Mapping[str, Any], place: str, inputs: Mapping[str, ModelInput], found: Entries) -> Inputs:
    item = {}
    for name, value in entry.items():
        if name not in inputs:
            if name == _PARAMETERS:
                found.note("parameters of requests in the input data are not sent")
                continue
            found.note(f"'{name}' in the input data is no input of the model and is left out")
            continue
        item[name] = _tensor(value, place, inputs[name])
    return item


def _tensor(value: Any, place: str, to: ModelInput) -> np.ndarray:
    shape = None
    if isinstance(value, dict):
        shape = _shape(value.get("shape"), place, to)
        if isinstance(value.get("b64"), str):
            return _placed(_decoded(value["b64"], place, to, shape), shape, place, to)
        if "content" not in value:
            raise DataError(
                f"{place}: input '{to.name}' has neither content nor b64; found {', '.join(value) or 'nothing'}",
                '{"content": [...], "shape": [...]}',
            )
        value = value["content"]
    if not isinstance(value, list):
        value = [value]
    return _placed(_array(value, place, to), shape, place, to)


def _shape(shape: Any, place: str, to: ModelInput) -> tuple[int, ...] | None:
    if shape is None:
        return None
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise DataError(
            f"{place}: the shape of input '{to.name}' is {shape!r:.60}", "expected whole numbers: [3, 224, 224]"
        )
    return tuple(shape)


def _placed(array: np.ndarray, shape: tuple[int, ...] | None, place: str, to: ModelInput) -> np.ndarray:
    """Elements in the shape that is said, or that follows from the input's dims."""
    values = to.converted(array, place, from_text=True)
    if shape is not None:
        if values.size != math.prod(shape):
            raise DataError(
                f"{place}: input '{to.name}' of shape {list(shape)} has {math.prod(shape):,} elements, "
                f"found {values.size:,}"
            )
        return to.fitted(values.reshape(shape), place)
    return to.fitted(values, place) if values.ndim > 1 else to.shaped(values.reshape(-1), place)


def _array(value: list[Any], place: str, to: ModelInput) -> np.ndarray:
    try:
        array = np.array(value, np.object_) if not to.kind.size else np.array(value)
    except ValueError:
        raise DataError(f"{place}: input '{to.name}' is a list of lists of unequal lengths") from None
    if array.size == 0:
        return np.empty(array.shape, to.kind.dtype)
    if to.kind.size and (array.dtype.kind not in "biuf" or array.ndim > 32):
        raise DataError(
            f"{place}: input '{to.name}' takes {to.kind.name}, found {_described(array)}",
            f"write {'true and false' if to.kind.name == 'BOOL' else 'numbers, without quotes'}",
        )
    return array


def _described(array: np.ndarray) -> str:
    """What is in a list that is no numbers."""
    first = array.reshape(-1)[0]
    return f"strings, such as {str(first)!r:.40}" if array.dtype.kind == "U" else "values of several types, or null"


def _decoded(text: str, place: str, to: ModelInput, shape: tuple[int, ...] | None) -> np.ndarray:
    try:
        joined = "".join(text.split()).rstrip("=")
        content = base64.b64decode(joined + "=" * (-len(joined) % 4), validate=True)  # perf_analyzer needs no padding
    except ValueError as error:
        raise DataError(f"{place}: the b64 of input '{to.name}' is not Base64: {error}") from None
    if not to.kind.size:
        return _strings(content, shape if shape is not None else to.dims)
    if len(content) % to.kind.size:
        raise DataError(
            f"{place}: the b64 of input '{to.name}' holds {len(content):,} bytes, not a multiple of the {to.kind.size} of "
            f"{to.kind.name}"
        )
    wanted = to.kind.dtype.newbyteorder("<") if to.kind.dtype.kind in "iuf" else to.kind.dtype
    return np.frombuffer(content, wanted)


def _strings(content: bytes, shape: Sequence[int]) -> np.ndarray:
    """Strings as V2 has them, each after its length in four bytes; or all of it as the only one."""
    elements, position = [], 0
    while position + 4 <= len(content):
        end = position + 4 + int.from_bytes(content[position : position + 4], "little")
        elements.append(content[position + 4 : end])
        position = end
    several = position == len(content) and elements and (-1 in shape or len(elements) == math.prod(shape))
    array = np.empty(len(elements) if several else 1, np.object_)
    array[:] = elements if several else [content]
    return array
