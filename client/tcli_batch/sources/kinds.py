"""Which files are data, and how each kind is opened; by the ending of the name."""

import glob
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tcli_batch.addresses import find_address, is_address
from tcli_batch.errors import DataError
from tcli_batch.signature import Signature
from tcli_batch.sources import TABLE_SUFFIXES, Single, Table
from tcli_batch.sources.csv_file import CsvFile
from tcli_batch.sources.json_document import JsonFile
from tcli_batch.sources.json_lines import JsonLinesFile
from tcli_batch.sources.numpy_files import NpyFile, NpzFile
from tcli_batch.sources.parquet_file import ParquetFile
from tcli_batch.sources.wav_file import WavFile
from tcli_batch.sources.whole_files import WholeFiles
from tcli_client.errors import ImageError
from tcli_client.picture import picture_suffixes
from tcli_client.picture_files import find_files
from tcli_client.preprocess import Scaling
from tcli_client.transport import Transport

_OPENERS: dict[str, Callable[[str], Table]] = {
    "npy": NpyFile,
    "npz": NpzFile,
    "json": JsonFile,
    "jsonl": JsonLinesFile,
    "csv": CsvFile,
    "parquet": ParquetFile,
}


@dataclass(eq=False)
class DataFile:
    """A file of a job.

    Attributes:
        name: as it was given.
        kind: one of `TABLE_SUFFIXES`' values, "picture" or "bytes".
    """

    name: str
    kind: str

    @property
    def is_table(self) -> bool:
        return self.kind not in ("picture", "bytes")


def find_data(arguments: "list[str]", as_bytes: bool = False) -> list[DataFile]:
    """The files that arguments name: files, folders, patterns and addresses, in that order.

    A folder is the data files in it, which must be of one kind; with `as_bytes`, all its files.

    Raises:
        DataError: an argument names nothing, a file is of no kind that is read, or a folder holds several kinds.
    """
    suffixes = None if as_bytes else picture_suffixes() | TABLE_SUFFIXES.keys()
    found: list[DataFile] = []
    for argument in arguments:
        named = is_address(argument)
        try:
            names = find_address(argument, suffixes) if named else find_files(argument, suffixes)
        except ImageError as problem:
            raise DataError(f"'{argument}': {problem}", problem.fix) from None
        files = [DataFile(name, "bytes" if as_bytes else kind_of(name)) for name in names]
        for name in names:
            _check_readable(name)
        kinds = sorted({file.kind for file in files})
        if len(kinds) > 1 and ((named and not glob.has_magic(argument)) or os.path.isdir(argument)):  # noqa: PTH112  names stay as they were given
            raise DataError(
                f"the folder '{argument}' holds files of several kinds: {', '.join(kinds)}",
                "say which with a pattern, for example '*.csv'",
            )
        found += files
    return found


def _check_readable(name: str) -> None:
    """Look whether a file can be read twice, and to its end; one that is not there is told when its turn comes."""
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(name).st_mode):  # noqa: PTH116  names stay as they were given
            raise DataError(f"'{name}' is a pipe or a device", "write what comes out of it to a file first")


def kind_of(name: str) -> str:
    """The kind of a file, by its ending.

    Raises:
        DataError: it has none that is read.
    """
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if suffix in TABLE_SUFFIXES:
        return TABLE_SUFFIXES[suffix]
    if suffix in picture_suffixes():
        return "picture"
    raise DataError(
        f"'{name}' ends with no ending of data",
        f"what is read: pictures, {', '.join(sorted(TABLE_SUFFIXES))}; any file with --bytes",
    )


@dataclass(eq=False)
class Kinds:
    """Opens the files of one job."""

    server: Transport
    signature: Signature
    scaling: Scaling | None = None
    _singles: dict[str, Single] = field(default_factory=dict)

    def single(self, kind: str) -> Single:
        """What reads files of one row each.

        Raises:
            DataError: the model does not take them.
        """
        if kind not in self._singles:
            if kind == "bytes":
                self._singles[kind] = WholeFiles(self.signature)
            else:
                from tcli_batch.sources.pictures import Pictures

                self._singles[kind] = Pictures(self.server, self.signature, self.scaling)
        return self._singles[kind]

    def table(self, file: DataFile) -> Table:
        """Open a file of rows.

        Raises:
            DataError: it cannot be read.
        """
        if file.kind == "wav":
            return WavFile(file.name, self.signature)
        return _OPENERS[file.kind](file.name)
