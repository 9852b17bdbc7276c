"""What lies beside a model and says more of it than the model itself: names of its classes, and how it takes pictures."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from tcli_server.repository.entries import is_there
from tcli_server.zoo.beside.class_names import TEXT_FILE, names_in_config, names_in_text
from tcli_server.zoo.beside.json_file import BesideError, Json, read_json
from tcli_server.zoo.beside.picture_facts import PictureFacts
from tcli_server.zoo.beside.timm_pictures import timm_facts
from tcli_server.zoo.beside.transformers_pictures import is_picture_processor, transformers_facts

__all__ = ["Beside", "PictureFacts", "look_beside"]

_CONFIG = "config.json"
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_T = TypeVar("_T")
_TIMM, _NESTED = "pretrained_cfg", "image_processor"


@dataclass(frozen=True, slots=True)
class Beside:
    """What was found.

    Attributes:
        labels: names of the classes, none if nothing names them.
        labels_from: the file that they are from.
        pictures: None if nothing tells.
        pictures_from: the file that it is from.
        notes: files that could not be used, and why.
    """

    labels: tuple[str, ...] = ()
    labels_from: str = ""
    pictures: PictureFacts | None = None
    pictures_from: str = ""
    notes: tuple[str, ...] = ()


def look_beside(folders: Iterable[Path]) -> Beside:
    """What files of the usual names say; those of the first folder that has one count. Never raises."""
    there = list(folders)
    notes: list[str] = []
    config = _document(there, (_CONFIG,), notes)
    labels, labels_from = _labels(there, config, notes)
    pictures, pictures_from = _pictures(_document(there, _PROCESSORS, notes), config, notes)
    return Beside(tuple(labels), labels_from, pictures, pictures_from, tuple(notes))


def _document(folders: list[Path], names: Iterable[str], notes: list[str]) -> tuple[Json, str]:
    for folder in folders:
        for name in names:
            if is_there(folder / name):
                try:
                    return read_json(folder / name), name
                except BesideError as error:
                    notes.append(f"{folder / name} was not used: {error}")
    return {}, ""


def _labels(folders: list[Path], config: tuple[Json, str], notes: list[str]) -> tuple[list[str], str]:
    for folder in folders:
        names = _tried(partial(names_in_text, folder), TEXT_FILE, notes)
        if names:
            return names, TEXT_FILE
    document, name = config
    return _tried(partial(names_in_config, document), name, notes) or [], name


def _pictures(
    processor: tuple[Json, str], config: tuple[Json, str], notes: list[str]
) -> tuple[PictureFacts | None, str]:
    document, name = processor
    nested = document.get(_NESTED)
    document = nested if isinstance(nested, dict) else document
    if document and is_picture_processor(document):
        return _tried(partial(transformers_facts, document), name, notes), name
    document, name = config
    timm = document.get(_TIMM)
    if isinstance(timm, dict):
        return _tried(partial(timm_facts, timm), name, notes), name
    return None, ""


def _tried(read: Callable[[], _T], name: str, notes: list[str]) -> _T | None:
    """What a file says; None with a note where it says something wrong."""
    try:
        return read()
    except BesideError as error:
        notes.append(f"{name} was not used: {error}")
        return None
