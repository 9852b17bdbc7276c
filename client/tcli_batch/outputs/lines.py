"""Parts of forms that are lines of text, each row one."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tcli_batch.outputs import COPIED_BYTES, PartWriter, sync
from tcli_batch.results import Results


class LinesPart(PartWriter):
    """A file of lines.

    Args:
        lines: makes the lines of rows.
    """

    def __init__(self, path: Path, lines: Callable[[Results], Iterable[bytes]]) -> None:
        self._stream = path.open("wb")
        self._lines = lines

    def write(self, results: Results) -> None:
        self._stream.writelines(self._lines(results))

    @property
    def size(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        with self._stream as stream:
            sync(stream)


def concatenate(parts: Sequence[Path], path: Path, head: bytes = b"") -> None:
    """Files one after the other."""
    with path.open("wb") as whole:
        whole.write(head)
        for part in parts:
            with part.open("rb") as stream:
                shutil.copyfileobj(stream, whole, COPIED_BYTES)
        sync(whole)
