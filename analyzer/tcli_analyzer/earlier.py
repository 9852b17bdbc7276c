"""What an analysis has left in its folder, for those who ask it later."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = "results.json"
"""The file of a folder that has everything."""

SCHEMA = 2
"""Of the document. Larger where a reader of an older one would read something wrong; new fields alone change nothing."""

_LARGEST = 1 << 30
_MOST_NAMED = 5


class EarlierError(Exception):
    """There is no analysis there, or not the one that is wanted; the message says what was found.

    Attributes:
        fix: what to do about it; may be empty.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class Earlier:
    """A finished analysis.

    Attributes:
        path: of its results.
        model: that it was of.
        document: as it was written.
    """

    path: Path
    model: str
    document: Mapping[str, Any] = field(repr=False)

    def part(self, name: str) -> Mapping[str, Any]:
        """An object of the document; empty where it has none of this name."""
        found = self.document.get(name)
        return found if isinstance(found, Mapping) else {}

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """A list of objects, likewise."""
        found = self.document.get(name)
        return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def read_earlier(place: Path) -> Earlier:
    """Read what an analysis has left.

    Args:
        place: its folder, or the file of results in it.

    Raises:
        EarlierError: it is not there, or is something else.
    """
    path = place / RESULTS if place.is_dir() or not place.suffix else place
    try:
        if path.stat().st_size > _LARGEST:
            raise EarlierError(f"{path} is larger than 1 GiB: not the results of an analysis")
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EarlierError(f"no analysis in {place}: there is no {path}", _where_to_look(place)) from None
    except OSError as error:
        raise EarlierError(f"cannot read {path}: {error.strerror}", "name the folder of an analysis") from None
    except (ValueError, RecursionError):
        raise EarlierError(f"{path} is damaged: it is not JSON", "analyze the model again") from None
    if isinstance(document, Mapping) and isinstance(document.get("models"), list):
        raise EarlierError(f"{path} is of several models together, which are neither asked nor compared")
    model = document.get("model") if isinstance(document, Mapping) else None
    if not isinstance(model, str) or not isinstance(document.get("machine"), Mapping):
        raise EarlierError(f"{path} is not the {RESULTS} of an analysis: it has no model and machine")
    version = document.get("schema_version", SCHEMA)
    if not isinstance(version, int) or version > SCHEMA:
        raise EarlierError(
            f"{path} is of a later version of tcli: its schema_version is {version}, here {SCHEMA} at most is known",
            "upgrade tcli",
        )
    return Earlier(path, model, document)


def _where_to_look(place: Path) -> str:
    """The analyses in a folder that is none itself, as one that holds those of several models."""
    try:
        inside = sorted(str(folder) for folder in place.iterdir() if (folder / RESULTS).is_file())
    except OSError:
        inside = []
    if not inside:
        return "analyze a model first: tcli analyze"
    more = f" and {len(inside) - _MOST_NAMED} more" if len(inside) > _MOST_NAMED else ""
    return f"name one of the analyses in it: {', '.join(inside[:_MOST_NAMED])}{more}"
