"""JSON lines: `{"source": ..., "index": ..., "outputs": {...}, "classes": {...}}`; NaN and infinity are null."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from tcli_batch.outputs import Form, PartWriter
from tcli_batch.results import Results, plain

_COPIED = 1 << 20


class JsonLines(Form):
    """`.jsonl`, the form that holds everything."""

    suffix = ".jsonl"

    def part(self, path: Path) -> PartWriter:
        return _Lines(path)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        concatenate(parts, path)


def lines(results: Results) -> Iterator[bytes]:
    """Each row as a line."""
    for row, (source, index) in enumerate(zip(results.sources, results.indices.tolist(), strict=True)):
        document: dict[str, Any] = {"source": source, "index": index}
        if results.tensors:
            document["outputs"] = {name: plain(rows[row]) for name, rows in results.tensors.items()}
        if results.classes:
            document["classes"] = {
                name: [
                    {"score": score, "index": place, "label": classes.label(place)}
                    for score, place in zip(plain(classes.scores[row]), classes.indices[row].tolist(), strict=True)
                ]
                for name, classes in results.classes.items()
            }
        yield orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)


class _Lines(PartWriter):
    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")

    def write(self, results: Results) -> None:
        self._stream.writelines(lines(results))

    def close(self) -> None:
        with self._stream as stream:
            stream.flush()
            os.fsync(stream.fileno())


def concatenate(parts: Sequence[Path], path: Path) -> None:
    """Files one after the other."""
    with path.open("wb") as whole:
        for part in parts:
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, whole, _COPIED)
        whole.flush()
        os.fsync(whole.fileno())
