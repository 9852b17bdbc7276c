"""Class labels: a text file with one name a line."""

from pathlib import Path

from tcli_server.errors import InvalidArgumentError
from tcli_server.repository.text_file import UnreadableFileError, read_bytes

_MOST_BYTES = 64 << 20


def read_labels(path: Path) -> list[str]:
    """The labels of a file, line i for class i; empty lines in between count, those at the end do not.

    Raises:
        InvalidArgumentError: the file is missing, no file (a folder, a pipe), larger than 64 MiB, or not UTF-8 text.
    """
    try:
        text = read_bytes(path, _MOST_BYTES).decode("utf-8-sig")
    except UnreadableFileError as error:
        raise InvalidArgumentError(f"label file {path} cannot be read: {error.found}") from None
    except UnicodeDecodeError:
        raise InvalidArgumentError(f"label file {path} is not UTF-8 text: save it as UTF-8") from None
    labels = [line.rstrip() for line in text.split("\n")]
    while labels and not labels[-1]:
        labels.pop()
    return labels
