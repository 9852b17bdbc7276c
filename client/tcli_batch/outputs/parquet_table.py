"""Parquet, written by Apache Arrow's own library; the columns are the same whatever the rows are.

    source      string
    index       int64
    NAME        the output: a number, or lists of them as deep as its shape has sides other than 1
    NAME        of classes: a list of {score, index int64, label string}, the highest first; `NAME_classes` where the tensor
                is written, too

FP16 stays half precision, BF16 becomes float. BYTES are strings; bytes that are no UTF-8 are escaped as in Python (`\\xff`). No
value is null but a label that the server does not have.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tcli_batch.errors import DataError
from tcli_batch.outputs import INDEX, SOURCE, Layout, PartWriter, TableForm, sync
from tcli_batch.results import Results, plain
from tcli_batch.signature import Tensor
from tcli_client.tensors import DTYPES, Array

_GROUP_ROWS = 131_072
_GROUP_BYTES = 64 << 20
"""A row group of the file has so many rows, or is so large in memory."""


class ParquetTable(TableForm):
    """`.parquet`. Parts are streams of Arrow's, which cost little to write and to read.

    Raises:
        DataError: pyarrow is not there.
    """

    def __init__(self) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise DataError("Parquet needs Arrow", "pip install 'tcli[parquet]'") from None

    def columns(self) -> list[str]:
        return list(schema_of(self.layout).names)

    def part(self, path: Path) -> PartWriter:
        return _Rows(path, self.layout)

    def merge(self, parts: Sequence[Path], path: Path) -> None:
        import pyarrow
        from pyarrow import ipc, parquet

        schema = schema_of(self.layout)
        texts = [name for name in schema.names if name == SOURCE or not _is_number(schema.field(name).type)]
        with path.open("wb") as stream:
            with parquet.ParquetWriter(stream, schema, use_dictionary=texts) as writer:
                batches: list[Any] = []
                for part in parts:
                    with part.open("rb") as content, ipc.open_stream(content) as reader:
                        for batch in reader:
                            batches.append(batch)
                            if _are_a_group(batches):
                                writer.write_table(pyarrow.Table.from_batches(batches), row_group_size=_GROUP_ROWS)
                                batches = []
                if batches:
                    writer.write_table(pyarrow.Table.from_batches(batches), row_group_size=_GROUP_ROWS)
            sync(stream)


class _Rows(PartWriter):
    def __init__(self, path: Path, layout: Layout) -> None:
        from pyarrow import ipc

        self._layout = layout
        self._stream = path.open("wb")
        self._writer = ipc.new_stream(self._stream, schema_of(layout))

    def write(self, results: Results) -> None:
        self._writer.write_table(table_of(results, self._layout))

    @property
    def size(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        with self._stream as stream:
            self._writer.close()
            sync(stream)


def schema_of(layout: Layout) -> Any:
    """The columns of an Arrow table."""
    import pyarrow

    fields = [(SOURCE, pyarrow.string()), (INDEX, pyarrow.int64())]
    for tensor in layout.tensors:
        kind = _type(tensor)
        for _ in _kept(tensor):
            kind = pyarrow.list_(kind)
        fields.append((tensor.name, kind))
    for name in layout.classes:
        kind = pyarrow.struct(
            [("score", _type(layout.output(name))), ("index", pyarrow.int64()), ("label", pyarrow.string())]
        )
        fields.append((_class_column(layout, name), pyarrow.list_(kind)))
    return pyarrow.schema(fields)


def table_of(results: Results, layout: Layout) -> Any:
    """Rows as an Arrow table; they must be as the layout says."""
    import pyarrow

    names = {name: name.encode(errors="backslashreplace").decode() for name in set(results.sources)}
    columns: list[Any] = [
        pyarrow.array([names[name] for name in results.sources], pyarrow.string()),
        pyarrow.array(results.indices, pyarrow.int64()),
    ]
    for tensor in layout.tensors:
        array = results.tensors[tensor.name]
        sides = [len(array), *(array.shape[1 + axis] for axis in _kept(tensor))]
        column = _flat(array)
        for axis in range(len(sides) - 1, 0, -1):
            column = _lists(column, int(np.prod(sides[:axis])), sides[axis])
        columns.append(column)
    for name in layout.classes:
        classes = results.classes[name]
        indices = classes.indices.ravel()
        labels = pyarrow.array([classes.label(index) for index in indices.tolist()], pyarrow.string())
        fields = [_flat(classes.scores), pyarrow.array(indices), labels]
        best = pyarrow.StructArray.from_arrays(fields, ["score", "index", "label"])
        columns.append(_lists(best, *classes.indices.shape))
    return pyarrow.table(columns, schema=schema_of(layout))


def _kept(tensor: Tensor) -> list[int]:
    """The axes of a row that are lists: a side that is always 1 is none."""
    return [axis for axis, side in enumerate(tensor.dims) if side != 1]


def _class_column(layout: Layout, name: str) -> str:
    return f"{name}_classes" if any(tensor.name == name for tensor in layout.tensors) else name


def _type(tensor: Tensor) -> Any:
    import pyarrow

    if tensor.datatype == "BYTES":
        return pyarrow.string()
    return pyarrow.from_numpy_dtype(np.float32 if tensor.datatype == "BF16" else DTYPES[tensor.datatype])


def _flat(array: Array) -> Any:
    """All elements of an array."""
    import pyarrow

    if array.dtype.hasobject:
        return pyarrow.array(plain(array.ravel()), pyarrow.string())
    if array.dtype.name == "bfloat16":  # Arrow knows none; FP32 holds all its values
        array = array.astype(np.float32)
    return pyarrow.array(np.ascontiguousarray(array).ravel())


def _lists(elements: Any, count: int, side: int) -> Any:
    import pyarrow

    offsets = np.arange(count + 1, dtype=np.int64) * side
    if offsets[-1] > np.iinfo(np.int32).max:
        raise DataError(
            f"one request has {offsets[-1]:,} numbers, which is more than a column of Parquet takes at a time"
        )
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets.astype(np.int32)), elements)


def _is_number(kind: Any) -> bool:
    """Whether a column holds nothing but numbers, of which a dictionary would cost time and save nothing."""
    from pyarrow import types

    while types.is_list(kind):
        kind = kind.value_type
    return not (types.is_string(kind) or types.is_struct(kind))


def _are_a_group(batches: Sequence[Any]) -> bool:
    return bool(
        sum(batch.num_rows for batch in batches) >= _GROUP_ROWS
        or sum(batch.nbytes for batch in batches) >= _GROUP_BYTES
    )
