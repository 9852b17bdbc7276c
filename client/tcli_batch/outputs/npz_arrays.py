"""NumPy's `.npz`, uncompressed, read with `numpy.load` without pickles.

    sources         [files] texts, each of the job's files that has rows, once
    source          int64 [rows], a row's file as its place in `sources`
    index           int64 [rows]
    NAME            [rows, ...] each output in its own type
    NAME_class      int64 [rows, k], NAME_score [rows, k], the highest first
    NAME_labels     [classes] texts, the labels by a class's index, where the server has any

BYTES and BF16 tensors are refused, as NumPy has no such types that are not pickled (scores of BF16 become FP32), and so are
rows whose shapes differ.
"""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import orjson

from tcli_batch.errors import DataError, JobError
from tcli_batch.outputs import INDEX, SOURCE, Layout, PartWriter, TableForm, sync
from tcli_batch.results import Results
from tcli_client.tensors import DTYPES, Array

_SOURCES = "sources"
_JOINED_BYTES = 1 << 20
"""Rows of small writes wait for each other up to so much, so that a part has few stretches."""


class NpzArrays(TableForm):
    """`.npz`. A part is stretches of rows, each a line of JSON that says what follows, and the bytes of its arrays."""

    def __init__(self) -> None:
        self._shapes: dict[str, tuple[int, ...]] = {}

    def columns(self) -> list[str]:
        ranked = [f"{name}_{what}" for name in self.layout.classes for what in ("class", "score", "labels")]
        return [SOURCE, INDEX, _SOURCES, *(tensor.name for tensor in self.layout.tensors), *ranked]

    def begin(self, layout: Layout) -> None:
        super().begin(layout)
        for tensor in layout.tensors:
            if tensor.datatype in ("BYTES", "BF16"):
                raise DataError(
                    f"output {tensor} cannot be kept in .npz: NumPy has no such type that is not pickled",
                    "write to .jsonl, .csv or .parquet",
                )

    def check(self, results: Results) -> None:
        super().check(results)
        for name, array in _arrays(results).items():
            before = self._shapes.setdefault(name, array.shape[1:])
            if before != array.shape[1:]:
                raise DataError(
                    f"'{results.sources[0]}' row {int(results.indices[0])}: '{name}' has shape {list(array.shape[1:])}, and "
                    f"{list(before)} in the rows before it: .npz holds one shape",
                    "write to .jsonl or .parquet",
                )

    def after(self, part: Path) -> None:
        stretch = next(_stretches([part]), None)
        if stretch is not None:
            self._shapes = {column.name: column.row for column in stretch.columns}

    def part(self, path: Path) -> PartWriter:
        return _Stretches(path)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        places: dict[str, int] = {}
        labels: dict[str, list[str]] = {}
        columns: dict[str, list[_Column]] = {name: [] for name in self._written()}
        rows = 0
        for stretch in _stretches(parts):
            rows += stretch.rows
            for source, _ in stretch.sources:
                places.setdefault(source, len(places))
            labels.update(stretch.labels)
            for column in stretch.columns:
                columns[column.name].append(column)
        with path.open("wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                _put(archive, _SOURCES, np.array(list(places), np.str_))
                for name, found in labels.items():
                    _put(archive, f"{name}_labels", np.array(found, np.str_))
                with _member(archive, SOURCE, np.dtype("<i8"), (rows,)) as member:
                    for stretch in _stretches(parts):
                        for source, count in stretch.sources:
                            member.write(np.full(count, places[source], "<i8").tobytes())
                for name, pieces in columns.items():
                    dtype, row = (pieces[0].dtype, pieces[0].row) if pieces else self._written()[name]
                    with _member(archive, name, dtype, (rows, *row)) as member:
                        _copy(path, pieces, member)
            sync(stream)

    def _written(self) -> "dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]]":
        """Dtype and shape of a row of what has no rows; open sides are 0."""
        kinds: dict[str, tuple[np.dtype[np.generic], tuple[int, ...]]] = {INDEX: (np.dtype("<i8"), ())}
        for tensor in self.layout.tensors:
            kinds[tensor.name] = DTYPES[tensor.datatype], tuple(max(side, 0) for side in tensor.dims)
        for name, count in self.layout.classes.items():
            kinds[f"{name}_class"] = np.dtype("<i8"), (count,)
            kinds[f"{name}_score"] = _score_dtype(DTYPES[self.layout.output(name).datatype]), (count,)
        return kinds


@dataclass(frozen=True)
class _Column:
    """Rows of one array in a part: where its bytes are."""

    part: Path
    offset: int
    name: str
    dtype: "np.dtype[np.generic]"
    row: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class _Stretch:
    """Rows of a part that were written together.

    Attributes:
        sources: files and how many rows of each follow each other.
    """

    rows: int
    sources: list[tuple[str, int]]
    labels: dict[str, list[str]]
    columns: list[_Column]


class _Stretches(PartWriter):
    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")
        self._labelled: set[str] = set()
        self._waiting: list[tuple[Results, dict[str, Array]]] = []
        self._bytes = 0

    def write(self, results: Results) -> None:
        arrays = _arrays(results)
        self._waiting.append((results, arrays))
        self._bytes += sum(array.nbytes for array in arrays.values())
        if self._bytes >= _JOINED_BYTES:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        names = list(self._waiting[0][1])
        arrays = {name: np.concatenate([each[name] for _, each in self._waiting]) for name in names}
        labels = {}
        for name, classes in self._waiting[0][0].classes.items():
            if classes.labels and name not in self._labelled:
                labels[name] = list(classes.labels)
                self._labelled.add(name)
        head = {
            "rows": sum(len(results) for results, _ in self._waiting),
            "sources": _runs([source for results, _ in self._waiting for source in results.sources]),
            "labels": labels,
            "arrays": [[name, array.dtype.str, array.shape[1:], array.nbytes] for name, array in arrays.items()],
        }
        self._stream.write(orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE))
        for array in arrays.values():
            self._stream.write(array.tobytes())
        self._waiting, self._bytes = [], 0

    @property
    def size(self) -> int:
        return self._stream.tell() + self._bytes

    def close(self) -> None:
        with self._stream as stream:
            self._write()
            sync(stream)


def _arrays(results: Results) -> dict[str, Array]:
    arrays = {INDEX: results.indices, **results.tensors}
    for name, classes in results.classes.items():
        arrays[f"{name}_class"] = classes.indices
        arrays[f"{name}_score"] = classes.scores.astype(_score_dtype(classes.scores.dtype), copy=False)
    return arrays


def _score_dtype(dtype: "np.dtype[np.generic]") -> "np.dtype[np.generic]":
    return np.dtype(np.float32) if dtype.name == "bfloat16" else dtype


def _runs(sources: Sequence[str]) -> list[tuple[str, int]]:
    runs: list[tuple[str, int]] = []
    for source in sources:
        if runs and runs[-1][0] == source:
            runs[-1] = source, runs[-1][1] + 1
        else:
            runs.append((source, 1))
    return [(source.encode(errors="backslashreplace").decode(), count) for source, count in runs]


def _stretches(parts: Sequence[Path]) -> Iterator[_Stretch]:
    """What the parts hold, without the bytes of the arrays."""
    for part in parts:
        with part.open("rb") as stream:
            while line := stream.readline():
                head = orjson.loads(line)
                columns = []
                for name, dtype, row, nbytes in head["arrays"]:
                    columns.append(_Column(part, stream.tell(), name, np.dtype(dtype), tuple(row), nbytes))
                    stream.seek(nbytes, 1)
                sources = [(source, count) for source, count in head["sources"]]
                yield _Stretch(head["rows"], sources, head["labels"], columns)


def _put(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    with _member(archive, name, array.dtype, array.shape) as member:
        member.write(array.tobytes())


def _member(archive: zipfile.ZipFile, name: str, dtype: "np.dtype[np.generic]", shape: tuple[int, ...]) -> IO[bytes]:
    member = archive.open(f"{name}.npy", "w", force_zip64=True)
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(member, header)
    return member


def _copy(path: Path, columns: Sequence[_Column], member: IO[bytes]) -> None:
    stream: IO[bytes] | None = None
    for column in columns:
        if (column.dtype, column.row) != (columns[0].dtype, columns[0].row):
            raise JobError(
                f"'{path}': rows of '{column.name}' have shapes {list(columns[0].row)} and {list(column.row)}; "
                ".npz holds one shape",
                "write to .jsonl or .parquet",
            )
        if stream is None or stream.name != str(column.part):
            if stream is not None:
                stream.close()
            stream = column.part.open("rb")
        stream.seek(column.offset)
        member.write(stream.read(column.nbytes))
    if stream is not None:
        stream.close()
