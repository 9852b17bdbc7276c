"""Which form an output file has, by the ending of its name."""

from collections.abc import Callable
from pathlib import Path

from tcli_batch.errors import DataError
from tcli_batch.outputs import Form
from tcli_batch.outputs.csv_table import CsvTable
from tcli_batch.outputs.json_lines import JsonLines
from tcli_batch.outputs.npz_arrays import NpzArrays
from tcli_batch.outputs.parquet_table import ParquetTable

_FORMS: dict[str, Callable[[], Form]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".csv": CsvTable,
    ".parquet": ParquetTable,
    ".npz": NpzArrays,
}


def form_of(path: Path) -> Form:
    """The form of a file.

    Raises:
        DataError: its name ends otherwise, or what writes it is not installed.
    """
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise DataError(f"'{path}' does not say what to write", f"let its name end in {', '.join(_FORMS)}")
    return form()
