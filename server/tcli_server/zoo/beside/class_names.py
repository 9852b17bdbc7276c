"""Names of a model's classes, as they lie beside it."""

import re
from pathlib import Path

from tcli_server.errors import InvalidArgumentError
from tcli_server.repository.entries import is_there
from tcli_server.repository.labels import read_labels
from tcli_server.zoo.beside.json_file import BesideError, Json

TEXT_FILE = "labels.txt"

_MOST_CLASSES = 1_000_000
_INDEX = re.compile(r"[0-9]{1,7}")
_NO_NAME = re.compile(r"LABEL_[0-9]+")


def names_in_text(folder: Path) -> list[str]:
    """The lines of `labels.txt`; none where there is no such file.

    Raises:
        BesideError: it cannot be read.
    """
    path = folder / TEXT_FILE
    if not is_there(path):
        return []
    try:
        return [_line(name) for name in read_labels(path)]
    except InvalidArgumentError as error:
        raise BesideError(str(error).removeprefix(f"label file {path} ")) from None


def names_in_config(config: Json) -> list[str]:
    """The names of `id2label`, or of timm's `label_names`; none where there are none, or only LABEL_0, LABEL_1, ...

    Raises:
        BesideError: they are no names of the classes 0 to n - 1.
    """
    key = "id2label" if config.get("id2label") is not None else "label_names"
    value = config.get(key)
    if value is None:
        return []
    names = _named(key, value)
    return [] if all(_NO_NAME.fullmatch(name) for name in names) else names


def _named(key: str, value: object) -> list[str]:
    if isinstance(value, list):
        value = {str(index): name for index, name in enumerate(value)}
    if not isinstance(value, dict):
        raise BesideError(f"its {key} is neither an object nor a list")
    if len(value) > _MOST_CLASSES:
        raise BesideError(f"its {key} has {len(value):,} entries, more than {_MOST_CLASSES:,}")
    names: dict[int, str] = {}
    for index, name in value.items():
        if not _INDEX.fullmatch(index):
            raise BesideError(f"its {key} has the class {index[:40]!r}, which is no number")
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise BesideError(f"its {key} names class {index} with something that is no text")
        if int(index) in names:
            raise BesideError(f"its {key} names class {int(index)} twice")
        names[int(index)] = _line(str(name) if isinstance(name, str) or name.bit_length() < 64 else "?")
    missing = next((index for index in range(len(names)) if index not in names), None)
    if missing is not None:
        raise BesideError(f"its {key} has no name for class {missing}, but one for class {max(names)}")
    return [names[index] for index in range(len(names))]


def _line(name: str) -> str:
    """A name as it can be written on one line of UTF-8 text."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    return " ".join(printable.encode("utf-8", "replace").decode().split())
