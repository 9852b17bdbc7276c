"""Parquet files, through Apache Arrow's own library."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from tcli_batch.addresses import file_system
from tcli_batch.errors import DataError, UnreadableError
from tcli_batch.sources import Chunk, Table, chunk_rows
from tcli_client.tensors import Array

_CHUNK_ROWS = 16_384


class ParquetFile(Table):
    """A `.parquet` file. Columns may hold numbers, texts, bytes, and lists of these at any depth.

    Raises:
        DataError: pyarrow is not there, or it is no such file.
    """

    typed = True

    def __init__(self, file: str) -> None:
        self._file = file
        self._arrow = _arrow(file)
        with self._open() as reader:
            self.columns = tuple(reader.schema_arrow.names)
            twice = [name for name, count in Counter(self.columns).items() if count > 1]
            if twice:
                raise DataError(f"'{file}' has two columns '{twice[0]}'")
            self.rows = reader.metadata.num_rows
            groups = (reader.metadata.row_group(group).num_rows for group in range(reader.num_row_groups))
            self.starts = list(itertools.accumulate(groups, initial=0))[:-1] or [0]

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        with self._open() as reader:
            groups: list[int] = []
            first = 0
            for group in range(reader.num_row_groups):
                rows = reader.metadata.row_group(group).num_rows
                if first + rows > start or groups:
                    groups.append(group)
                else:
                    first += rows
            step = min(_CHUNK_ROWS, chunk_rows(_row_bytes(reader.metadata)))
            try:
                for batch in reader.iter_batches(step, row_groups=groups):
                    skip = max(0, start - first)
                    if skip < batch.num_rows:
                        rest = batch.slice(skip)
                        yield Chunk(first + skip, rest.num_rows, _Columns(self._file, rest))
                    first += batch.num_rows
            except (self._arrow.ArrowException, OSError) as problem:
                raise UnreadableError(f"'{self._file}' cannot be read on: {problem}") from None

    def _open(self) -> Any:
        import pyarrow.parquet

        try:
            system, path = file_system(self._file)
            return pyarrow.parquet.ParquetFile(path, filesystem=system)
        except (self._arrow.ArrowException, OSError) as problem:
            raise UnreadableError(f"'{self._file}' is no Parquet file that can be read: {problem}") from None


class _Columns(Mapping[str, "Array | list[Any]"]):
    """Columns of rows, brought out of Arrow when they are wanted: those that are not wanted may hold anything."""

    def __init__(self, file: str, batch: Any) -> None:
        self._file, self._batch = file, batch

    def __getitem__(self, name: str) -> "Array | list[Any]":
        column = self._batch.column(name)
        try:
            return as_column(column)
        except (
            ValueError,
            OverflowError,
            TypeError,
            NotImplementedError,
        ) as problem:  # times that Python does not have
            raise UnreadableError(
                f"'{self._file}': column '{name}' ({column.type}) cannot be read: {problem}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._batch.schema.names)

    def __len__(self) -> int:
        return int(self._batch.num_columns)


def _row_bytes(metadata: Any) -> int:
    """Of the largest rows, about."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)


def as_column(column: Any) -> "Array | list[Any]":
    """An Arrow array as a numpy array [n, ...], without a copy where it can be; a list where its rows differ."""
    import pyarrow

    if column.null_count:
        values: list[Any] = column.to_pylist()
        return values
    kind = column.type
    if pyarrow.types.is_fixed_size_list(kind):
        inner = as_column(column.flatten())
        if isinstance(inner, np.ndarray):
            return inner.reshape(len(column), kind.list_size, *inner.shape[1:])
    elif pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        lengths = np.diff(column.offsets.to_numpy())
        if len(lengths) and (lengths == lengths[0]).all():
            inner = as_column(column.flatten())
            if isinstance(inner, np.ndarray):
                return inner.reshape(len(column), int(lengths[0]), *inner.shape[1:])
    elif pyarrow.types.is_boolean(kind) or pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind):
        array: Array = column.to_numpy(zero_copy_only=False)
        return array
    return column.to_pylist()  # type: ignore[no-any-return]


def _arrow(file: str) -> ModuleType:
    try:
        import pyarrow.lib
    except ImportError:
        raise DataError(f"'{file}': Parquet needs Arrow", "pip install 'tcli[parquet]'") from None
    return pyarrow.lib  # type: ignore[no-any-return]
