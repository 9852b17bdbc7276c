"""Which backend is to run a file or folder that lies anywhere, and what of it is the model."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tcli_server.backends import BackendKind
from tcli_server.backends.registry import handling, is_installed, kind_of, kinds, usual
from tcli_server.errors import InvalidArgumentError, ServerError
from tcli_server.repository import CONFIG_FILE
from tcli_server.repository.entries import entries, is_file, is_folder
from tcli_server.repository.text_file import not_a_file
from tcli_server.zoo.file_backend import beginning, by_ending, endings, is_told, kind_of_file, marked
from tcli_server.zoo.other_formats import other_format

_MOST_ENTRIES = 10_000
_SHOWN = 6
_CALLED_MODEL = re.compile(r"(.*[._-])?model", re.IGNORECASE)
_VERSION = re.compile(r"[1-9][0-9]*")
_CACHED = re.compile(r"models--.*?--(.+)")
"""How the folder of a model is called in the cache of the Hugging Face hub."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that is not in a repository yet.

    Attributes:
        path: its file, or folder where its kind has such.
        name: what it may be called.
        around: folders that may hold what belongs to it, nearest first.
        others: models beside it that were not chosen.
        with_folder: everything in the folder of its file belongs to it.
        configured: the folder that holds a configuration for it, if one does.
    """

    kind: BackendKind
    path: Path
    name: str
    around: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    with_folder: bool = False
    configured: Path | None = None


def find_model(source: Path, backend: str = "") -> FoundModel:
    """The model that a file or folder is, or that a folder holds.

    Args:
        backend: what is to run it, where several could.

    Raises:
        InvalidArgumentError: there is none, or more than one, or the backend does not run such models; says what to do.
    """
    found = _found(source)
    return replace(found, kind=_named_kind(backend, found)) if backend and backend != found.kind.name else found


def _named_kind(backend: str, found: FoundModel) -> BackendKind:
    kind = kind_of(backend)
    if kind is None or not kind.implementation:
        there = ", ".join(kind.name for kind in kinds() if kind.implementation)
        raise InvalidArgumentError(f"there is no backend '{backend}': expected one of {there}")
    ending = found.path.suffix.lower()
    if kind.is_folder != found.kind.is_folder or ending not in {*endings(kind), *kind.source.reads}:
        reads = ", ".join(sorted({*endings(kind), *kind.source.reads}))
        members = " or ".join(kind.source.members)
        reads = reads or (f"folders with {members}" if members else "models without a file")
        raise InvalidArgumentError(f"the backend '{backend}' does not run {found.path}: it runs {reads}")
    return kind


def _found(source: Path) -> FoundModel:
    path = Path(source)
    if is_folder(path):
        return _in_folder(path)
    what = not_a_file(path)
    if what is not None:
        found = "does not exist" if what == "missing" else f"is {what}, not a model's file or folder"
        raise InvalidArgumentError(f"{path} {found}: name the one that you mean")
    folder = path.absolute().parent
    whole = next((kind for kind in kinds() if path.name in kind.source.members), None)
    if whole is not None:
        return FoundModel(whole, folder, _name_of(folder), (folder,))
    return FoundModel(kind_of_file(path), path, path.stem, _around(folder))


def _around(folder: Path) -> tuple[Path, ...]:
    """Exporters put several formats into folders of their own below what describes them all."""
    named = {part for kind in kinds() for part in (kind.name, *(Path(file).suffix[1:] for file in kind.files))}
    return (folder, folder.parent) if folder.name.lower() in named else (folder,)


def _name_of(folder: Path) -> str:
    """A folder's name; of one that is only a version or a revision, that of the one above."""
    folder = folder.absolute()
    if folder.parent.name == "snapshots":
        cached = _CACHED.fullmatch(folder.parent.parent.name)
        if cached is not None:
            return cached[1]
    if _VERSION.fullmatch(folder.name) and folder.parent.name:
        folder = folder.parent
    suffixes = {suffix for kind in kinds() if kind.is_folder for suffix in kind.suffixes}
    return folder.stem if folder.suffix in suffixes else folder.name


def _in_folder(folder: Path) -> FoundModel:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InvalidArgumentError(f"{folder} cannot be read: give permission to read it")
    _refuse_repository(folder)
    found = _candidates(folder)
    place = folder
    if not found:
        versions = [entry for entry in _entries(folder) if _VERSION.fullmatch(entry.name) and is_folder(entry)]
        wholes = [version for version in versions if _whole(version)]
        if wholes:  # as TensorFlow Serving has its models: the latest version
            place = max(wholes, key=lambda path: int(path.name))
            found = _candidates(place)
        else:
            found = [one for entry in _entries(folder) if is_folder(entry) for one in _candidates(entry)]
    if not found:
        raise InvalidArgumentError(_nothing(folder))
    kind, path = _chosen(folder, found)
    around = (path, folder) if kind.is_folder else (path.parent, folder)
    return FoundModel(
        kind,
        path,
        _name_of(folder),
        tuple(dict.fromkeys(around)),
        tuple(other for _, other in found if other != path),
        kind.source.takes_folder and path.name in kind.files,
        folder if is_file(folder / CONFIG_FILE) and path != folder else None,
    )


def _refuse_repository(folder: Path) -> None:
    """A model's folder of a repository, or a repository, needs no adding."""
    has_config = is_file(folder / CONFIG_FILE)
    files = {file for kind in kinds() for file in kind.files}
    versions = [entry for entry in _entries(folder) if _VERSION.fullmatch(entry.name) and is_folder(entry)]
    if versions and (has_config or any(entry.name in files for version in versions for entry in _entries(version))):
        raise InvalidArgumentError(
            f"{folder} is a model's folder as a repository has it already: copy it there as it is (cp -r {folder} REPOSITORY), "
            f"or serve it where it is: tcli serve --model-repository {folder.absolute().parent}"
        )
    models = [entry for entry in _entries(folder) if is_file(entry / CONFIG_FILE)]
    if models and not has_config:
        raise InvalidArgumentError(
            f"{folder} is a model repository (it has {models[0].name}/{CONFIG_FILE}): serve it as it is: "
            f"tcli serve --model-repository {folder}"
        )


def _candidates(folder: Path) -> list[tuple[BackendKind, Path]]:
    """Models in a folder, not deeper; the folder itself where that is one."""
    whole = _whole(folder)
    found = []
    for entry in _entries(folder):
        if is_folder(entry):
            kind = next((kind for kind in kinds() if kind.is_folder and entry.suffix in kind.suffixes), None)
        else:
            kind = _candidate(entry)
        if kind is not None:
            found.append((kind, entry))
    taking = [(kind, path) for kind, path in found if kind.source.takes_folder and path.name in kind.files]
    return taking or ([(whole, folder)] if whole is not None else found)


def _whole(folder: Path) -> BackendKind | None:
    members = {entry.name for entry in _entries(folder)}
    for kind in kinds():
        if not members.isdisjoint(kind.source.members) or (kind.is_folder and folder.suffix in kind.suffixes):
            return kind
    return None


def _candidate(path: Path) -> BackendKind | None:
    """The kind of a file whose ending and content are those of a model."""
    kind = by_ending(path) if is_file(path) else None
    if kind is None or (not kind.source.mark and not kind.source.contains and not kind.source.handling):
        return kind
    try:
        if not is_told(kind, path, beginning(path)):
            return None
        handling(kind).check(path)
    except ServerError:
        return None
    return kind


def _chosen(folder: Path, found: list[tuple[BackendKind, Path]]) -> tuple[BackendKind, Path]:
    """The only one, or the only one that is called as in a repository, or a model at all; of several kinds the usual one.

    Raises:
        InvalidArgumentError: none stands out.
    """
    if len(found) == 1:
        return found[0]
    named = [(kind, path) for kind, path in found if path.name in kind.files]
    named = named or [(kind, path) for kind, path in found if _CALLED_MODEL.fullmatch(path.stem)] or found
    for choice in (named, [(kind, path) for kind, path in named if kind == usual()]):
        if len(choice) == 1:
            return choice[0]
    here = [(kind, path) for kind, path in named if is_installed(kind)]
    if len(here) == 1:
        return here[0]
    paths = _listed(str(path.relative_to(folder)) for _, path in found)
    raise InvalidArgumentError(f"{folder} has several models ({paths}): name the one that you mean, as {named[0][1]}")


def _nothing(folder: Path) -> str:
    """What is said of a folder that holds no model, with what it holds instead."""
    for entry in _entries(folder):
        if not is_file(entry):
            continue
        try:
            head = beginning(entry)
            other = other_format(head, entry.suffix) or other_format(head, entry.suffix, certain=False)
            kind = marked(head) or by_ending(entry)
            if other is None and kind is not None and is_told(kind, entry, head):
                handling(kind).check(entry)
                handling(kind).parts(entry)
        except ServerError as error:
            return str(error)
        if other is not None:
            return f"{folder} holds no model that a backend runs; {entry.name} is {other[0]}: {other[1]}"
    known = ", ".join(dict.fromkeys(file for kind in kinds() for file in (*kind.files, *kind.source.members)))
    there = _listed(entry.name for entry in _entries(folder)) or "nothing"
    return f"{folder} holds no model: expected one of {known}, or a file that ends so; found {there}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_SHOWN]) + (f", and {len(every) - _SHOWN} more" if len(every) > _SHOWN else "")


def _entries(folder: Path) -> list[Path]:
    return list(_visible(folder))


def _visible(folder: Path) -> Iterator[Path]:
    for count, entry in enumerate(entries(folder)):
        if count >= _MOST_ENTRIES:
            return
        if not entry.name.startswith("."):
            yield entry
