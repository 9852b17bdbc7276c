"""Puts the recommendations of several models into the user's repository: all of them, or none."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tcli_analyzer.apply import apply_recommendation
from tcli_analyzer.writing import write_atomically
from tcli_server.repository import ModelFolder


@dataclass(frozen=True)
class Change:
    """Of one model.

    Attributes:
        config_text: the new config.pbtxt.
        version: files of the batchable model; None if there is no new file.
    """

    folder: ModelFolder
    config_text: str
    version: Path | None


def apply_together(changes: Sequence[Change]) -> list[str]:
    """As `apply_recommendation` for each; if one cannot be written, what was written before is taken back.

    Raises:
        OSError: the repository cannot be written; nothing is changed.
    """
    said: list[str] = []
    begun: list[_Before] = []
    try:
        for change in changes:
            begun.append(_Before(change.folder))
            said += apply_recommendation(change.folder, change.config_text, change.version)
    except BaseException:
        for before in reversed(begun):
            before.restore()
        raise
    return said


class _Before:
    """What a model's folder was like."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._config = folder.config_path.read_text(encoding="utf-8") if folder.config_path.exists() else None
        self._entries = set(folder.path.iterdir())
        self._next_version = folder.path / str(max(folder.versions(), default=0) + 1)

    def restore(self) -> None:
        """The old configuration first: a model is never left with one that needs files which are gone."""
        path = self._folder.config_path
        if self._config is not None and path.read_text(encoding="utf-8") != self._config:
            write_atomically(path, self._config)
        for entry in set(self._folder.path.iterdir()) - self._entries:
            if entry == self._next_version:
                shutil.rmtree(entry)
            elif entry == path or entry.name.startswith(f"{path.name}.bak"):
                entry.unlink()
