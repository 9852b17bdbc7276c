"""NumPy's `.npz`: an array for each output, [rows, ...], beside `source` and `index`."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from tcli_batch.errors import DataError, JobError
from tcli_batch.outputs import Form, PartWriter
from tcli_batch.results import Results
from tcli_batch.signature import Tensor
from tcli_client.tensors import Array

_Header = tuple[np.dtype[Any], tuple[int, ...]]
"""Of an array: its dtype, and the shape of a row."""


class NpzArrays(Form):
    """`.npz`. A part is the arrays of each write, one behind the other, as `numpy.save` writes them."""

    suffix = ".npz"

    def check(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            if tensor.datatype in ("BYTES", "BF16"):
                raise DataError(
                    f"output {tensor} cannot be kept in .npz: NumPy has no such type that is not pickled",
                    "write to .jsonl, .csv or .parquet",
                )

    def part(self, path: Path) -> PartWriter:
        return _Arrays(path)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        columns: dict[str, _Header] = {"source": (np.dtype("U1"), ()), "index": (np.dtype(np.int64), ())}
        rows = 0
        for name, dtype, shape, _ in _arrays(parts):
            rows += shape[0] if name == "index" else 0
            columns[name] = _together(path, name, columns.get(name), (dtype, shape[1:]))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, (dtype, row) in columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    header = {"descr": dtype.str, "fortran_order": False, "shape": (rows, *row)}
                    np.lib.format.write_array_header_2_0(member, header)
                    for other, found, shape, stream in _arrays(parts):
                        if other == name:
                            content = stream.read(found.itemsize * int(np.prod(shape)))
                            member.write(np.frombuffer(content, found).astype(dtype).tobytes())
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Arrays(PartWriter):
    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")

    def write(self, results: Results) -> None:
        self._put("source", np.array(results.sources, np.str_))
        self._put("index", results.indices)
        for name, rows in results.tensors.items():
            if isinstance(rows, list):
                shapes = sorted({str(list(row.shape)) for row in rows})
                raise DataError(
                    f"rows of output '{name}' have shapes {shapes[0]} and {shapes[1]}: .npz holds one shape",
                    "write to .jsonl or .parquet",
                )
            self._put(name, rows)
        for name, classes in results.classes.items():
            self._put(f"{name}_class", classes.indices)
            self._put(f"{name}_score", classes.scores)
            labels = [[classes.label(index) or "" for index in row] for row in classes.indices.tolist()]
            self._put(f"{name}_label", np.array(labels, np.str_))

    def _put(self, name: str, array: Array) -> None:
        self._stream.write(len(name.encode()).to_bytes(4, "little") + name.encode())
        np.save(self._stream, np.ascontiguousarray(array), allow_pickle=False)

    def close(self) -> None:
        with self._stream as stream:
            stream.flush()
            os.fsync(stream.fileno())


def _arrays(parts: Sequence[Path]) -> Iterator[tuple[str, np.dtype[Any], tuple[int, ...], IO[bytes]]]:
    """Each array's name, dtype and shape, with the stream at its content."""
    for part in parts:
        with part.open("rb") as stream:
            while length := stream.read(4):
                name = stream.read(int.from_bytes(length, "little")).decode()
                np.lib.format.read_magic(stream)
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                end = stream.tell() + dtype.itemsize * int(np.prod(shape))
                yield name, dtype, shape, stream
                stream.seek(end)


def _together(path: Path, name: str, one: "_Header | None", other: _Header) -> _Header:
    if one is None:
        return other
    if one[1] != other[1]:
        raise JobError(
            f"'{path}': rows of '{name}' have shapes {list(one[1])} and {list(other[1])}; .npz holds one shape",
            "write to .jsonl or .parquet",
        )
    return np.promote_types(one[0], other[0]), one[1]
