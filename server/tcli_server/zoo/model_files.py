"""Puts the files of a model where a repository has them, whatever lies around them."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tcli_server.backends.registry import handling
from tcli_server.errors import InvalidArgumentError
from tcli_server.repository import CONFIG_FILE
from tcli_server.repository.entries import is_file, is_folder
from tcli_server.repository.text_file import not_a_file
from tcli_server.zoo.found_model import FoundModel

_MOST_FILES = 10_000
_NOT_OF_THE_MODEL = ("__pycache__",)


def model_files(found: FoundModel, name: str = "", without: Path | None = None) -> tuple[str, dict[str, Path]]:
    """The name of a model's file, or folder, in a version's folder, and every file: its place there -> where it is now.

    Links are followed, as those of download caches lead to the files themselves.

    Args:
        name: of the file, where a configuration gives it.
        without: a folder that is left out, if it lies in that of the model.

    Raises:
        InvalidArgumentError: one is missing or cannot be copied, two have the same place, or there are more than 10,000.
    """
    own = name or handling(found.kind).file_name(found.kind, found.path)
    if is_folder(found.path):
        return own, {f"{own}/{place}": path for place, path in tree(found.path, without).items()}
    files = {own: found.path}
    parts = handling(found.kind).parts(found.path)
    if found.with_folder:
        ours = {found.path.name, CONFIG_FILE}
        parts = {place: path for place, path in tree(found.path.parent, without).items() if place not in ours}
    for place, path in parts.items():
        if str(Path(place)) == own:
            raise InvalidArgumentError(
                f"{path} belongs to {found.path} and would take its place, as the model's file is called {own} in a "
                "repository: export it under another name"
            )
        files[place] = path
    return own, files


def place_files(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files into a version's folder.

    Raises:
        InvalidArgumentError: there is too little room, or one cannot be read or written.
    """
    try:
        _check_room(files, folder)
        for place, path in files.items():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    except OSError as error:
        name = error.filename if error.filename is not None else folder
        raise InvalidArgumentError(f"{os.fsdecode(name)} cannot be copied: {error.strerror or error}") from None


def _check_room(files: Mapping[str, Path], folder: Path) -> None:
    needed = sum(path.stat().st_size for path in files.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InvalidArgumentError(
            f"the model's files have {needed:,} bytes, but only {free:,} are free where {folder.parents[2]} is: make room, "
            "or name another repository with --model-repository"
        )


def tree(folder: Path, without: Path | None = None) -> dict[str, Path]:
    """Every file of a folder by its path in it; hidden ones and caches of Python are left out."""
    files: dict[str, Path] = {}
    left_out = os.path.realpath(without) if without is not None else ""
    waiting = [(folder, "", frozenset({os.path.realpath(folder)}))]
    while waiting:
        here, prefix, above = waiting.pop()
        for entry in _entries(here):
            if entry.name.startswith(".") or entry.name in _NOT_OF_THE_MODEL:
                continue
            place = f"{prefix}{entry.name}"
            if is_folder(entry):
                real = os.path.realpath(entry)
                if real == left_out:
                    continue
                if real in above:
                    raise InvalidArgumentError(f"{entry} is a link to a folder that it lies in: remove it")
                waiting.append((entry, f"{place}/", above | {real}))
            elif is_file(entry):
                files[place] = entry
            else:
                raise InvalidArgumentError(
                    f"{entry} is {not_a_file(entry)}, which cannot be copied into a repository: remove it"
                )
            if len(files) + len(waiting) > _MOST_FILES:
                raise InvalidArgumentError(
                    f"{folder} holds more than {_MOST_FILES:,} files: put the model's own into a folder for themselves"
                )
    return files


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InvalidArgumentError(f"{folder} cannot be read ({error.strerror}): give permission to read it") from None
