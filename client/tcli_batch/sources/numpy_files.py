"""Arrays in NumPy's own files: `.npy` holds one, `.npz` one for each column. Rows lie along the first axis."""

import contextlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np

from tcli_batch.addresses import is_address, open_data
from tcli_batch.errors import DataError, UnreadableError
from tcli_batch.sources import VALUE, Chunk, Table, chunk_rows
from tcli_client.tensors import Array

_LARGEST_ROW = 256 << 20


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * prod(self.shape[1:])


class NpyFile(Table):
    """A `.npy` file; pickled objects are refused, as unpickling runs what the file says.

    Raises:
        DataError: it is not such a file, or has no rows.
    """

    typed = True

    def __init__(self, file: str) -> None:
        self._file = file
        with _explained(file), open_data(file) as stream:
            self._header = _read_header(file, stream)
            self._begin = stream.tell()
            _check_size(file, stream, self._begin, self._header)
        if self._header.fortran and is_address(file):
            raise DataError(
                f"'{file}' holds an array in Fortran order, whose rows do not lie together",
                "save it with numpy.ascontiguousarray, or copy it to this machine first",
            )
        self.columns = (VALUE,)
        self.rows = self._header.shape[0]
        self.starts = range(self.rows)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        header, count = self._header, self.rows or 0
        step = chunk_rows(header.row_bytes)
        if header.fortran:
            with _explained(self._file):
                mapped = np.load(self._file, mmap_mode="r")
            for first in range(start, count, step):
                rows = np.ascontiguousarray(mapped[first : first + step])
                yield Chunk(first, len(rows), {VALUE: rows})
            return
        with _explained(self._file), open_data(self._file) as stream:
            stream.seek(self._begin + start * header.row_bytes)
            for first in range(start, count, step):
                rows = _read_rows(self._file, stream, header, min(step, count - first))
                yield Chunk(first, len(rows), {VALUE: rows})


class NpzFile(Table):
    """A `.npz` file: its arrays are columns, and must have as many rows each.

    Raises:
        DataError: it is not such a file, or its arrays differ in rows.
    """

    typed = True

    def __init__(self, file: str) -> None:
        self._file = file
        self._headers: dict[str, _Header] = {}
        with _explained(file), open_data(file) as content, zipfile.ZipFile(content) as archive:
            compressed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
            for member in archive.namelist():
                with archive.open(member) as stream:
                    self._headers[member.removesuffix(".npy")] = _read_header(f"{file}:{member}", stream)
        counts = {name: header.shape[0] for name, header in self._headers.items()}
        if len(set(counts.values())) != 1:
            found = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise DataError(f"'{file}': its arrays have not as many rows each: {found or 'it holds none'}")
        if any(header.fortran and len(header.shape) > 1 for header in self._headers.values()):
            raise DataError(
                f"'{file}' holds an array in Fortran order, whose rows do not lie together",
                "save it with numpy.ascontiguousarray",
            )
        self.columns = tuple(self._headers)
        self.rows = next(iter(counts.values()))
        if not compressed:
            self.starts = range(self.rows)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        step = chunk_rows(sum(header.row_bytes for header in self._headers.values()))
        count = self.rows or 0
        with contextlib.ExitStack() as stack:
            stack.enter_context(_explained(self._file))
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(open_data(self._file))))
            streams = {}
            for name, header in self._headers.items():
                member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
                stream = stack.enter_context(archive.open(member))
                _read_header(self._file, stream)
                stream.seek(start * header.row_bytes, 1)
                streams[name] = stream
            for first in range(start, count, step):
                rows = min(step, count - first)
                columns = {
                    name: _read_rows(self._file, stream, self._headers[name], rows) for name, stream in streams.items()
                }
                yield Chunk(first, rows, columns)


def _read_header(where: str, stream: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise DataError(f"'{where}' holds pickled objects, which are not read", "save an array of numbers or texts")
    if not shape:
        raise DataError(f"'{where}' holds a single value, no rows", "save an array whose first axis counts the rows")
    header = _Header(dtype, tuple(shape), fortran and len(shape) > 1)
    if min(shape) < 0 or (shape[0] and not header.row_bytes):  # a header alone could then claim any number of rows
        raise UnreadableError(f"'{where}': rows of an array {list(shape)} of {dtype} hold nothing")
    if header.row_bytes > _LARGEST_ROW:
        raise UnreadableError(
            f"'{where}': each row of its array {list(shape)} takes {header.row_bytes >> 20} MiB, more than "
            f"{_LARGEST_ROW >> 20}",
            "save an array whose first axis counts the rows",
        )
    return header


def _check_size(file: str, stream: IO[bytes], begin: int, header: _Header) -> None:
    size, wanted = stream.seek(0, 2) - begin, header.dtype.itemsize * prod(header.shape)
    if size < wanted:
        raise UnreadableError(
            f"'{file}' is cut off: its array {list(header.shape)} takes {wanted} bytes, {size} are there"
        )


def _read_rows(file: str, stream: IO[bytes], header: _Header, rows: int) -> Array:
    content = bytearray(rows * header.row_bytes)
    view, filled = memoryview(content), 0
    while filled < len(content):
        read = stream.read(min(1 << 20, len(content) - filled))
        if not read:
            raise UnreadableError(f"'{file}' is cut off")
        view[filled : filled + len(read)] = read
        filled += len(read)
    array = np.frombuffer(content, header.dtype).reshape(rows, *header.shape[1:])
    return array if header.dtype.isnative else array.astype(header.dtype.newbyteorder("="))


@contextlib.contextmanager
def _explained(file: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise UnreadableError(f"'{file}' cannot be read: {problem.strerror or problem}") from None
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, RuntimeError) as problem:
        raise UnreadableError(f"'{file}' is no file of NumPy arrays: {problem}") from None
