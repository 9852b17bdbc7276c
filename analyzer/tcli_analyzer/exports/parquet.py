"""Every window with the latencies of all its requests, as Parquet."""

import io

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.results import windows_frame


class ParquetMissingError(Exception):
    """pyarrow is not installed; the message says what to do."""


def check_parquet() -> None:
    """Better before an hour of measuring than after it.

    Raises:
        ParquetMissingError: it cannot be written here.
    """
    try:
        import pyarrow  # noqa: F401 - an extra
    except ImportError:
        raise ParquetMissingError("Parquet files need pyarrow: pip install 'tcli[parquet]'") from None


def windows_parquet(analysis: Analysis) -> bytes:
    """A row a window, as in results.json, with a column `latencies_ms`: a list, in the order of the answers.

    Raises:
        ParquetMissingError: it cannot be written here.
    """
    check_parquet()
    file = io.BytesIO()
    windows_frame(analysis, latencies=True).to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()
