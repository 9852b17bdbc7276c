"""Items from files of plain bytes: numbers as they lie in memory, or a string a line."""

import math
import stat
from pathlib import Path

import numpy as np

from tcli_analyzer.data.column import Limits
from tcli_analyzer.data.errors import DataError
from tcli_analyzer.data.model_input import ModelInput


class RawColumn:
    """Numbers of the input's data type, little-endian, item after item; as `Column`. The file is mapped."""

    def __init__(self, path: Path, to: ModelInput) -> None:
        self.source = str(path)
        self.notes: list[str] = []
        self._to = to
        size = file_size(path)
        dims = self._dims(size)
        item = math.prod(dims) * to.kind.size
        if not size or not item or size % item:
            raise DataError(
                f"{path}: input '{to.name}' takes {to.described}, {item:,} bytes an item; found {size:,} bytes",
                "the file holds the numbers of one item after the other, little-endian, without a header",
            )
        self.count: int | None = size // item
        wanted = to.kind.dtype.newbyteorder("<") if to.kind.dtype.kind in "iuf" else to.kind.dtype
        self._array = np.memmap(path, wanted, "r", shape=(self.count, *dims))

    def item(self, index: int) -> np.ndarray:
        return self._to.converted(np.array(self._array[index]), f"{self.source}: item {index}")

    def _dims(self, size: int) -> tuple[int, ...]:
        """Of an item: where one dimension has any size, the file is one item."""
        to = self._to
        if sum(dim < 0 for dim in to.dims) > 1:
            raise DataError(
                f"{self.source}: input '{to.name}' takes {to.described}, and a file of plain bytes does not say which shape",
                f"give it: --shape {to.name}:d1,d2,...",
            )
        known = math.prod(dim for dim in to.dims if dim >= 0) * to.kind.size
        return tuple(max(1, size // known) if dim < 0 else dim for dim in to.dims)


class LinesColumn:
    """Strings, one a line; an item has as many as its shape needs. As `Column`."""

    def __init__(self, path: Path, to: ModelInput, limits: Limits) -> None:
        self.source = str(path)
        self.notes: list[str] = []
        self._to = to
        lines = read_whole(path, limits).splitlines()
        elements = math.prod(to.dims) if not to.varies else 1
        if sum(dim != 1 for dim in to.dims) > 1 and to.varies:
            raise DataError(
                f"{path}: input '{to.name}' takes {to.described}, and lines do not say which shape",
                f"give it: --shape {to.name}:d1,d2,...",
            )
        if not lines or len(lines) % elements:
            raise DataError(
                f"{path}: input '{to.name}' takes {to.described}, {elements:,} lines an item; found {len(lines):,} lines",
                "write one string a line",
            )
        self._lines = lines
        self._dims = tuple(max(1, dim) for dim in to.dims)
        self._elements = elements
        self.count: int | None = len(lines) // elements

    def item(self, index: int) -> np.ndarray:
        flat = np.empty(self._elements, np.object_)
        flat[:] = self._lines[index * self._elements : (index + 1) * self._elements]
        return flat.reshape(self._dims)


def raw_column(path: Path, to: ModelInput, limits: Limits) -> RawColumn | LinesColumn:
    """A file of an input, as perf_analyzer's folders have them: numbers raw, strings a line each."""
    return RawColumn(path, to) if to.kind.size else LinesColumn(path, to, limits)


def file_size(path: Path) -> int:
    """In bytes.

    Raises:
        DataError: it cannot be read, or is a pipe or a device.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(state.st_mode):
        raise DataError(f"{path}: not a regular file, and input data is read more than once", "save it as a file first")
    return state.st_size


def read_whole(path: Path, limits: Limits) -> bytes:
    """All of a file.

    Raises:
        DataError: it cannot be read, is empty, or too large.
    """
    size = file_size(path)
    if size > limits.file_bytes:
        raise DataError(
            f"{path}: {size:,} bytes are more than the {limits.file_bytes:,} that are read of a text",
            "leave out what is not needed, or save numbers as .npy, of which only what is used is read",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror or error}") from None
    if not content.strip():
        raise DataError(f"{path}: the file is empty")
    return content
