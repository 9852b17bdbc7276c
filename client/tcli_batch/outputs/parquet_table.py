"""Parquet: a column for each output, lists of numbers where a row has several; classes as lists of structures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tcli_batch.errors import DataError, JobError
from tcli_batch.outputs import Form, PartWriter
from tcli_batch.results import Results, plain
from tcli_batch.signature import Tensor
from tcli_client.tensors import Array


class ParquetTable(Form):
    """`.parquet`, written by Apache Arrow's own library.

    Raises:
        DataError: pyarrow is not there.
    """

    suffix = ".parquet"

    def __init__(self) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise DataError("Parquet needs Arrow", "pip install 'tcli[parquet]'") from None
        self._tensors: dict[str, Tensor] = {}

    def check(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = {tensor.name: tensor for tensor in tensors}

    def part(self, path: Path) -> PartWriter:
        return _Rows(path, self._tensors)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        schema = parquet.read_schema(parts[0]) if parts else table_of(Results((), np.empty(0, np.int64)), {}).schema
        try:
            with parquet.ParquetWriter(path, schema) as writer:
                for part in parts:
                    with parquet.ParquetFile(part) as reader:
                        for group in range(reader.num_row_groups):
                            writer.write_table(reader.read_row_group(group).cast(schema))
        except pyarrow.ArrowException as problem:
            raise JobError(f"the parts of '{path}' do not go together: {problem}") from None
        sync(path)


class _Rows(PartWriter):
    def __init__(self, path: Path, tensors: dict[str, Tensor]) -> None:
        self._path = path
        self._tensors = tensors
        self._writer: Any = None

    def write(self, results: Results) -> None:
        import pyarrow.parquet as parquet

        table = table_of(results, self._tensors)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            sync(self._path)


def table_of(results: Results, tensors: "dict[str, Tensor]") -> Any:
    """The rows as an Arrow table; types follow the model, so that all tables of a job have the same."""
    import pyarrow

    columns: dict[str, Any] = {
        "source": pyarrow.array(list(results.sources), pyarrow.string()),
        "index": pyarrow.array(results.indices, pyarrow.int64()),
    }
    for name, rows in results.tensors.items():
        columns[name] = _column(rows, tensors[name])
    for name, classes in results.classes.items():
        k = classes.indices.shape[1]
        flat = classes.indices.ravel()
        labels = pyarrow.array([classes.label(index) for index in flat.tolist()], pyarrow.string())
        scores = pyarrow.array(_arrow_numbers(classes.scores.ravel()))
        best = pyarrow.StructArray.from_arrays([scores, pyarrow.array(flat), labels], ["score", "index", "label"])
        offsets = pyarrow.array(np.arange(len(results) + 1, dtype=np.int32) * k)
        columns[name if name not in columns else f"{name}_classes"] = pyarrow.ListArray.from_arrays(offsets, best)
    return pyarrow.table(columns)


def _column(rows: "Array | list[Array]", tensor: Tensor) -> Any:
    import pyarrow

    depth = len([side for side in tensor.dims if side != 1])
    if isinstance(rows, np.ndarray) and not rows.dtype.hasobject:
        shape = [len(rows), *[side for side, want in zip(rows.shape[1:], tensor.dims, strict=True) if want != 1]]
        array = pyarrow.array(_arrow_numbers(np.ascontiguousarray(rows).ravel()))
        for axis in range(depth, 0, -1):
            count = int(np.prod(shape[:axis]))
            offsets = np.arange(count + 1, dtype=np.int32) * np.int32(shape[axis])
            array = pyarrow.ListArray.from_arrays(pyarrow.array(offsets), array)
        return array
    kind = _type(rows[0].dtype if len(rows) else np.dtype(object))
    for _ in range(depth):
        kind = pyarrow.list_(kind)
    return pyarrow.array([_squeezed(row, tensor.dims) for row in rows], kind)


def _squeezed(row: Array, dims: Sequence[int]) -> Any:
    kept = [side for side, want in zip(row.shape, dims, strict=True) if want != 1]
    return plain(row.reshape(kept))


def _type(dtype: np.dtype[Any]) -> Any:
    import pyarrow

    if dtype.hasobject:
        return pyarrow.string()
    return pyarrow.from_numpy_dtype(np.float32 if dtype.name == "bfloat16" else dtype)


def _arrow_numbers(array: Array) -> Array:
    """Arrow knows no bfloat16; FP32 holds all its values."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def sync(path: Path) -> None:
    """The file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
