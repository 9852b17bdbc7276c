"""CSV in UTF-8, lines that end in \\n, text in quotes where it needs them.

    source,index,scores_0,scores_1,class_1,score_1
    rows.csv,7,0.1,0.7,espresso,0.7

An output whose shape is known and has at most one side other than 1 has a column for each number, `NAME_0` and on, or `NAME`
where it is one; up to 1,024. Any other is JSON in one cell. Numbers may be `nan`, `inf` and `-inf`, but null within JSON; BOOL is
`true` and `false`; BYTES are texts as in JSON lines. A class is its label, or its index where the server has none; cells are empty
where a row has fewer classes. The columns of classes begin with the output's name where several outputs are ranked.
"""

from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path

from tcli_batch.outputs import INDEX, SOURCE, PartWriter, TableForm
from tcli_batch.outputs.lines import LinesPart, concatenate
from tcli_batch.outputs.rendering import cached, csv_cell, csv_rows, json_rows, numbers
from tcli_batch.ranking import Classes
from tcli_batch.results import Results
from tcli_batch.signature import Tensor

_MOST_COLUMNS = 1_024


class CsvTable(TableForm):
    """`.csv`; parts have no header."""

    def columns(self) -> list[str]:
        columns = [SOURCE, INDEX]
        for tensor in self.layout.tensors:
            width, name = _width(tensor), tensor.name
            columns += [f"{name}_{place}" for place in range(width)] if width > 1 else [name]
        for name, count in self.layout.classes.items():
            prefix = "" if len(self.layout.classes) == 1 else f"{name}_"
            for place in range(1, count + 1):
                columns += [f"{prefix}class_{place}", f"{prefix}score_{place}"]
        return columns

    def part(self, path: Path) -> PartWriter:
        return LinesPart(path, self.lines)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        concatenate(parts, path, b",".join(map(csv_cell, self.columns())) + b"\n")

    def lines(self, results: Results) -> Iterable[bytes]:
        """Rows as lines, all of them in one."""
        return [b"\n".join(map(b",".join, zip(*self._cells(results), strict=True))) + b"\n"]

    def _cells(self, results: Results) -> list[list[bytes]]:
        """Columns of text, some of which hold several cells."""
        columns = [cached(results.sources, csv_cell), numbers(results.indices)]
        for tensor in self.layout.tensors:
            array, width = results.tensors[tensor.name], _width(tensor)
            if width:
                columns.append(csv_rows(array.reshape(len(array), width)))
            else:
                columns.append([_in_quotes(row) for row in json_rows(array)])
        for name, count in self.layout.classes.items():
            columns += _class_cells(results.classes[name], count)
        return columns


def _width(tensor: Tensor) -> int:
    """Columns of an output; 0 for one that holds JSON."""
    count = prod(tensor.dims)
    fixed = all(side > 0 for side in tensor.dims) and sum(side != 1 for side in tensor.dims) <= 1
    return count if fixed and count <= _MOST_COLUMNS else 0


def _in_quotes(json: bytes) -> bytes:
    return b'"' + json.replace(b'"', b'""') + b'"' if b"," in json or b'"' in json else json


def _class_cells(classes: Classes, count: int) -> list[list[bytes]]:
    rows, there = classes.indices.shape
    cells: list[list[bytes]] = []
    for place in range(min(count, there)):
        indices = classes.indices[:, place].tolist()
        known = {index: csv_cell(classes.label(index) or str(index)) for index in set(indices)}
        cells += [[known[index] for index in indices], csv_rows(classes.scores[:, place : place + 1])]
    return cells + [[b""] * rows] * (2 * (count - min(count, there)))
