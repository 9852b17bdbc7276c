"""A model repository in the cache for one model from elsewhere, which `tcli serve hf:ORG/NAME` serves."""

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from tcli_server.zoo.add import add_model
from tcli_server.zoo.download import cache_folder
from tcli_server.zoo.sources.address import parse_source
from tcli_server.zoo.sources.fetched import SourceError, Watch
from tcli_server.zoo.sources.fetching import fetch
from tcli_server.zoo.sources.keeping import own_folder

_STAMP = "source.json"


@dataclass(frozen=True, slots=True)
class OwnRepository:
    """A repository with one model.

    Attributes:
        notes: what happened, for the reader.
        warning: why it may not be the newest state of the model, None where it is.
    """

    path: Path
    notes: tuple[str, ...] = ()
    warning: str | None = None


def own_repository(text: str, watch: Watch | None = None) -> OwnRepository:
    """The repository for the model that a text names which `is_remote`, with the model's present state.

    Its configuration may be edited: it is written anew only when the model is another one by now. A model that was
    fetched before is taken as it was where its source does not answer.

    Raises:
        ServerError: the model cannot be had, or not be served.
        OSError: the cache cannot be written.
    """
    address = parse_source(text)
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", str(address)).strip("_")[:80]
    folder = cache_folder() / "served" / f"{name}-{hashlib.sha256(str(address).encode()).hexdigest()[:8]}"
    repository = folder / "model_repository"
    with own_folder(folder):
        before = _stamp(folder) if repository.is_dir() else None
        try:
            fetched = fetch(address, watch)
        except SourceError as error:
            if before is None:
                raise
            return OwnRepository(repository, warning=f"{error}\nwhat was fetched before is served: {' '.join(before)}")
        if before == fetched.comments:
            return OwnRepository(repository, fetched.notes)
        added = add_model(
            fetched.path, repository, fetched.name, force=True, comments=fetched.comments, beside=fetched.beside
        )
        (folder / _STAMP).write_text(json.dumps(fetched.comments), "utf-8")
        anew = ("it is another state of the model: its configuration was written anew",) if before is not None else ()
        return OwnRepository(repository, (*fetched.notes, *added.notes, *anew))


def _stamp(folder: Path) -> tuple[str, ...] | None:
    with contextlib.suppress(OSError, ValueError):
        lines = json.loads((folder / _STAMP).read_text("utf-8"))
        if isinstance(lines, list):
            return tuple(map(str, lines))
    return None
