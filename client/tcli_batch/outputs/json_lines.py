"""JSON lines, the form that holds everything.

    {"source": "rows.csv", "index": 7, "outputs": {"scores": [0.1, 0.7]}, "classes": {"scores": [{"score": 0.7, ...}]}}

An output is nested lists in its shape, a number or a text where it has none. NaN and infinity are null. Integers are written in
full: beyond 2^53 Python reads them right, and JavaScript does not. BYTES are texts; bytes that are no UTF-8 are escaped as in
Python (`\\xff`). Of classes there are the score, the index and the label, null where the server has none.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

from tcli_batch.outputs import Form, PartWriter
from tcli_batch.outputs.lines import LinesPart, concatenate
from tcli_batch.outputs.rendering import cached, json_rows, json_text, numbers
from tcli_batch.ranking import Classes
from tcli_batch.results import Results


class JsonLines(Form):
    """`.jsonl` or `.ndjson`."""

    def part(self, path: Path) -> PartWriter:
        return LinesPart(path, lines)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        concatenate(parts, path)


def lines(results: Results) -> Iterator[bytes]:
    """Each row as a line."""
    pieces: list[Iterable[bytes]] = [
        repeat(b'{"source":'),
        cached(results.sources, json_text),
        repeat(b',"index":'),
        numbers(results.indices),
    ]
    columns = {
        b"outputs": {name: json_rows(array) for name, array in results.tensors.items()},
        b"classes": {name: _classes(classes) for name, classes in results.classes.items()},
    }
    for group, members in columns.items():
        for place, (name, rows) in enumerate(members.items()):
            before = b"," if place else b',"' + group + b'":{'
            pieces += [repeat(before + json_text(name) + b":"), rows]
        if members:
            pieces.append(repeat(b"}"))
    pieces.append(repeat(b"}\n"))
    return map(b"".join, zip(*pieces, strict=False))


def _classes(classes: Classes) -> list[bytes]:
    pieces: list[Iterable[bytes]] = []
    for place in range(classes.indices.shape[1]):
        indices = classes.indices[:, place]
        known = {index: _label(classes, index) for index in set(indices.tolist())}
        pieces += [
            repeat(b',{"score":' if place else b'[{"score":'),
            json_rows(classes.scores[:, place]),
            repeat(b',"index":'),
            numbers(indices),
            repeat(b',"label":'),
            [known[index] for index in indices.tolist()],
            repeat(b"}"),
        ]
    if not pieces:
        return [b"[]"] * len(classes.indices)
    return list(map(b"".join, zip(*pieces, repeat(b"]"), strict=False)))


def _label(classes: Classes, index: int) -> bytes:
    label = classes.label(index)
    return b"null" if label is None else json_text(label)
