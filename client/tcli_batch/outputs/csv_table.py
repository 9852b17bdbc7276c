"""CSV: a column for each number of a short output, else one that holds JSON; classes side by side."""

import csv
import io
import os
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import orjson

from tcli_batch.outputs import Form, PartWriter
from tcli_batch.results import Results, plain
from tcli_batch.signature import Tensor

_MOST_COLUMNS = 1_024


class CsvTable(Form):
    """`.csv` in UTF-8."""

    suffix = ".csv"

    def __init__(self) -> None:
        self._tensors: Sequence[Tensor] = ()

    def check(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors

    def part(self, path: Path) -> PartWriter:
        return _Rows(path, {tensor.name: _width(tensor) for tensor in self._tensors})

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        with path.open("wb") as whole:
            for number, part in enumerate(parts):
                with part.open("rb") as stream:
                    header = stream.readline()
                    if number == 0:
                        whole.write(header)
                    while piece := stream.read(1 << 20):
                        whole.write(piece)
            if not parts:
                whole.write(b"source,index\r\n")
            whole.flush()
            os.fsync(whole.fileno())


class _Rows(PartWriter):
    def __init__(self, path: Path, widths: dict[str, int]) -> None:
        self._raw = path.open("wb")
        self._stream = io.TextIOWrapper(self._raw, "utf-8", newline="")
        self._writer = csv.writer(self._stream)
        self._widths = widths
        self._began = False

    def write(self, results: Results) -> None:
        if not self._began:
            self._writer.writerow(self._header(results))
            self._began = True
        columns: list[Sequence[Any]] = [results.sources, results.indices.tolist()]
        for name, rows in results.tensors.items():
            columns += _columns([plain(row) for row in rows], self._widths.get(name, 0))
        for classes in results.classes.values():
            for place in range(classes.indices.shape[1]):
                indices = classes.indices[:, place].tolist()
                columns.append([classes.label(index) or index for index in indices])
                columns.append(plain(classes.scores[:, place]))
        self._writer.writerows(zip(*columns, strict=True))

    def _header(self, results: Results) -> list[str]:
        header = ["source", "index"]
        for name in results.tensors:
            width = self._widths.get(name, 0)
            header += [f"{name}_{place}" for place in range(width)] if width > 1 else [name]
        for name, classes in results.classes.items():
            prefix = "" if len(results.classes) == 1 else f"{name}_"
            for place in range(1, classes.indices.shape[1] + 1):
                header += [f"{prefix}class_{place}", f"{prefix}score_{place}"]
        return header

    def close(self) -> None:
        with self._stream as stream:
            stream.flush()
            os.fsync(self._raw.fileno())


def _width(tensor: Tensor) -> int:
    """Columns of an output; 0 for one that holds JSON."""
    count = prod(tensor.dims)
    fixed = all(side > 0 for side in tensor.dims) and sum(side != 1 for side in tensor.dims) <= 1
    return count if fixed and count <= _MOST_COLUMNS else 0


def _columns(rows: list[Any], width: int) -> list[Sequence[Any]]:
    if not width:
        return [[row if isinstance(row, (int, float, str)) else orjson.dumps(row).decode() for row in rows]]
    return list(zip(*map(_flat, rows), strict=True))


def _flat(value: Any) -> list[Any]:
    return [item for inner in value for item in _flat(inner)] if isinstance(value, list) else [value]
