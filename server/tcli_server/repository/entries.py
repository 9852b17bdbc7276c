"""What is in a folder, asked so that nothing raises: what vanishes, cannot be read or is called too long a name, is not there.

`Path.is_file` and its like raise where a folder on the way cannot be searched, or a name is longer than a disk allows.
"""

import os
from pathlib import Path


def entries(folder: Path) -> list[Path]:
    """The entries of a folder by name, none if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except (OSError, ValueError):
        return []


def is_file(path: Path) -> bool:
    """Whether a regular file can be seen there."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder can be seen there."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: Path) -> bool:
    """Whether anything can be seen there, be it a link that leads nowhere."""
    return os.path.lexists(path)
