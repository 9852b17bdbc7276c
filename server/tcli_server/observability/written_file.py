"""Files of the operator's choice that the server will write: whether it can, found out before it starts and without writing."""

import os
from pathlib import Path

from tcli_server.errors import UnavailableError


def check_writable(field: str, path: str) -> None:
    """Whether there is nothing known that is against writing there.

    Raises:
        UnavailableError: there is; names the field.
    """
    reason = why_unwritable(Path(path))
    if reason:
        raise UnavailableError(
            f"{field}: cannot write '{path}': {reason}; fix: name a file in a folder that is there and may be written to"
        )


def why_unwritable(path: Path) -> str:
    """Why nothing can be written there; empty if nothing is known that is against it. Nothing is written to find out."""
    try:
        if path.is_dir():
            return "it is a folder"
        if not path.parent.is_dir():
            return f"there is no folder {path.parent}"
        return "" if os.access(path if path.exists() else path.parent, os.W_OK) else "permission denied"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
