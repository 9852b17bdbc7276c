"""Files of the operator's that are read while the server runs: certificates, keys and tokens."""

import os
import stat
from pathlib import Path

from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.log import LOG

_MOST_BYTES = 4 << 20


def read_small(field: str, path: str, fix: str) -> bytes:
    """The contents of a file; never waits, as reading from a pipe would.

    Raises:
        InvalidArgumentError: it cannot be read, is no plain file, or has more than 4 MiB.
    """
    try:
        # NONBLOCK: opening a named pipe would wait for whoever writes to it.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise InvalidArgumentError(f"{field}: '{path}' is no plain file; {fix}")
            data = opened.read(_MOST_BYTES + 1)
    except IsADirectoryError:
        raise InvalidArgumentError(f"{field}: cannot read '{path}': Is a directory; {fix}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidArgumentError(f"{field}: cannot read '{path}': {why}; {fix}") from None
    if len(data) > _MOST_BYTES:
        raise InvalidArgumentError(f"{field}: '{path}' has more than {_MOST_BYTES} bytes; {fix}")
    return data


def warn_if_others_read(field: str, path: str) -> None:
    """Say so if a file with secrets can be read by everybody on this machine."""
    if os.name != "posix":  # elsewhere the mode says nothing of that
        return
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # whoever reads it says why
        return
    if mode & stat.S_IROTH:
        LOG.warning("%s: every user of this machine can read '%s'; fix: chmod o-rwx", field, path)
