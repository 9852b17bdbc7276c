"""The folder that results are written to: what is wrong with it is told before anything is measured."""

import os
import tempfile
from pathlib import Path

from triton_cli.console import fail


def ready_folder(folder: Path) -> None:
    """Make it if it is not there, and see whether files can be made in it.

    Raises:
        typer.Exit: they cannot; that was told.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        fail(
            f"cannot write to {folder}: {_in_the_way(folder) or error.strerror}", "choose another folder with --output"
        )


def _in_the_way(folder: Path) -> str:
    """What stands where a folder is to be; the error only says that something exists."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place) and not place.is_dir():
            name = "it" if place == folder else str(place)
            return f"{name} is a link to nothing" if not place.exists() else f"{name} is a file"
    return ""
