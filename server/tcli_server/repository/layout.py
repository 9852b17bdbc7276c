"""What a model repository looks like on disk."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelVersionPolicy

from tcli_server.errors import NotFoundError, UnsupportedError
from tcli_server.repository.entries import entries, is_file, is_folder, is_there

CONFIG_FILE = "config.pbtxt"

_NOT_VERSIONS = frozenset({"configs", "initial_state", "warmup"})
_REMOTE = ("s3://", "gs://", "as://")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model in a repository: `<repository>/<name>/`."""

    name: str
    path: Path

    @property
    def config_path(self) -> Path:
        """Where its configuration is, or would be."""
        return self.path / CONFIG_FILE

    def version_folders(self) -> dict[int, Path]:
        """Version -> its folder, ascending.

        As in Triton, a folder counts by its leading digits (`1abc` is version 1), one with leading zeros does not
        count, nor does one that starts with anything else. Where `1` and `1abc` both exist, `1` is version 1. A folder
        that cannot be read has none.
        """
        found: dict[int, Path] = {}
        for entry in sorted(entries(self.path), key=lambda entry: (len(entry.name), entry.name)):
            digits = re.match(r"[0-9]+", entry.name)
            if not is_folder(entry):
                continue
            if entry.name in _NOT_VERSIONS or digits is None:
                continue
            if entry.name.startswith("0") and entry.name != "0":
                continue
            found.setdefault(int(digits[0]), entry)
        return dict(sorted(found.items()))

    def versions(self) -> list[int]:
        """The versions on disk, ascending."""
        return list(self.version_folders())

    def version_path(self, version: int) -> Path:
        """The folder of a version, whether it exists or not."""
        return self.version_folders().get(version, self.path / str(version))


def model_folders(repositories: Iterable[str | os.PathLike[str]]) -> dict[str, list[ModelFolder]]:
    """Every model of some repositories by name; a name that several repositories have, has several folders.

    Hidden folders (a leading dot) are no models, nor are those whose name no protocol could carry.

    Raises:
        NotFoundError: a repository is not a folder that can be read.
        UnsupportedError: a repository is an address in object storage.
    """
    models: dict[str, list[ModelFolder]] = {}
    for repository in repositories:
        if str(repository).startswith(_REMOTE):
            raise UnsupportedError(
                f"model repository '{repository}' is in object storage, which is not supported yet: "
                "copy it to a local folder"
            )
        path = Path(repository)
        if not is_folder(path):
            what = "is no folder" if is_there(path) else "does not exist, or cannot be reached"
            what = "is a file, not a folder" if is_file(path) else what
            raise NotFoundError(f"model repository '{repository}' {what}")
        try:
            found = _subfolders(path)
        except OSError as error:
            raise NotFoundError(f"model repository '{repository}' cannot be read: {error.strerror}") from None
        for entry in sorted(found, key=lambda entry: entry.name):
            if not unspeakable(entry.name):
                models.setdefault(entry.name, []).append(ModelFolder(entry.name, entry))
    return models


def find_model(repositories: Iterable[Path], name: str) -> list[ModelFolder]:
    """The folders that `model_folders` would give for one name, without looking at all the others."""
    if name.startswith(".") or unspeakable(name):
        return []
    return [ModelFolder(name, path / name) for path in repositories if is_folder(path / name)]


def unspeakable(name: str) -> bool:
    """Whether a folder's name is no text, so that no client could ask for it."""
    return not name.isascii() and any("\ud800" <= char <= "\udfff" for char in name)


def choose_versions(policy: ModelVersionPolicy, available: Iterable[int]) -> list[int]:
    """The versions that a policy serves, ascending; those `specific` names but are not there are left out.

    Without a choice the policy is Triton's default, the latest one.
    """
    versions = sorted(available)
    match policy.WhichOneof("policy_choice"):
        case "all":
            return versions
        case "specific":
            return [version for version in versions if version in set(policy.specific.versions)]
        case "latest":
            return versions[max(0, len(versions) - policy.latest.num_versions) :]
        case _:
            return versions[-1:]


def _subfolders(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if is_folder(entry) and not entry.name.startswith(".")]
