"""A folder on any file system; what is put there appears whole or not at all."""

import shutil
import uuid
from pathlib import Path
from typing import Any

from tcli_batch.addresses import file_system
from tcli_batch.outputs import sync

_COPIED = 1 << 20


class Folder:
    """A folder, which need not be there yet.

    Args:
        name: of this machine, or an address.

    Raises:
        DataError: the address is not understood.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._system, path = file_system(name)
        self._path = path.rstrip("/")

    def names(self) -> list[str]:
        """Of the files in it, sorted.

        Raises:
            OSError: it cannot be read; as in all that follows.
        """
        from pyarrow import fs

        entries = self._system.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        return sorted(entry.base_name for entry in entries)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return bool(self._system.get_file_info(f"{self._path}/{name}").is_file)

    @property
    def is_file(self) -> bool:
        """Whether it is no folder, but a file."""
        return bool(self._system.get_file_info(self._path).is_file)

    def make(self) -> None:
        """Be there."""
        self._system.create_dir(self._path, recursive=True)

    def read(self, name: str) -> bytes:
        """A file's content."""
        with self._system.open_input_stream(f"{self._path}/{name}") as stream:
            content: bytes = stream.read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file."""
        with self.appearing(name) as stream:
            stream.write(content)

    def put(self, file: Path, name: str) -> None:
        """Make or replace a file, with the content of one of this machine."""
        with file.open("rb") as content, self.appearing(name) as stream:
            shutil.copyfileobj(content, stream, _COPIED)

    def appearing(self, name: str) -> "Appearing":
        """A stream to a file that is there when the context ends without an error."""
        return Appearing(self._system, f"{self._path}/{name}", f"{self._path}/.{name}.{uuid.uuid4().hex}")

    def delete(self, name: str) -> None:
        """Take a file away."""
        self._system.delete_file(f"{self._path}/{name}")

    def remove(self) -> None:
        """Take it away, with all that is in it."""
        self._system.delete_dir(self._path)


class Appearing:
    """A file that is written under another name first."""

    def __init__(self, system: Any, place: str, beside: str) -> None:
        self._system, self._place, self._beside = system, place, beside

    def __enter__(self) -> Any:
        self._stream = self._system.open_output_stream(self._beside)
        return self._stream

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._stream.close()
        if error is not None:
            self._system.delete_file(self._beside)
            return
        if self._system.type_name == "local":
            with Path(self._beside).open("rb+") as stream:
                sync(stream)
        self._system.move(self._beside, self._place)
