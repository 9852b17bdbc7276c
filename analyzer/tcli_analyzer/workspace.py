"""Working copies, so that the user's repository is only ever read."""

from pathlib import Path
from types import TracebackType
from typing import Self

from tcli_analyzer.batching.rewrite import link_or_copy
from tcli_server.repository import ModelFolder
from tcli_server.temporary import discard_folder, new_folder, remove_abandoned_folders


class Workspace:
    """A temporary folder with two repositories of one model each; it is deleted on exit.

    Attributes:
        current: the model as it is (a link to its folder: configurations are loaded from memory, not from there).
        rewritten: the model with a batchable model file, once `add_rewritten` has made its folder.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._model = folder
        remove_abandoned_folders()  # of analyses that were killed: a rewritten model may be large
        root = self._root = new_folder()
        self.current = root / "current"
        self.rewritten = root / "rewritten"

    def __enter__(self) -> Self:
        self.current.mkdir()
        (self.current / self._model.name).symlink_to(self._model.path.resolve(), target_is_directory=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        discard_folder(self._root)

    def add_rewritten(self) -> Path:
        """Make the second repository's model folder (labels and the like, no configuration) and an empty version 1.

        Returns:
            The version's folder.
        """
        version = self.rewritten / self._model.name / "1"
        version.mkdir(parents=True)
        for file in self._model.path.iterdir():
            if file.is_file() and file != self._model.config_path and not file.name.startswith("."):
                link_or_copy(file, version.parent / file.name)
        return version

    def renumber(self, version: int) -> Path:
        """Give the second repository's only version another number; its folder is the answer."""
        model = self.rewritten / self._model.name
        return (model / "1").rename(model / str(version))
