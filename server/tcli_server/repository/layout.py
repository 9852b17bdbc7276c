"""What a model repository looks like on disk."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelVersionPolicy

from tcli_server.errors import NotFoundError, UnsupportedError
from tcli_server.repository.entries import is_folder, is_there
from tcli_server.repository.identifiers import identifier

CONFIG_FILE = "config.pbtxt"

_LARGEST_VERSION = 2**63 - 1
INITIAL_STATE_FOLDER = "initial_state"
"""In a model's folder: the files that `sequence_batching.state.initial_state.data_file` names."""

WARMUP_FOLDER = "warmup"
"""In a model's folder: the files that `model_warmup.inputs.value.input_data_file` names."""

CONFIGS_FOLDER = "configs"
"""In a model's folder: configurations of which `--model-config-name` chooses one."""

_NOT_VERSIONS = frozenset({CONFIGS_FOLDER, INITIAL_STATE_FOLDER, WARMUP_FOLDER})
_REMOTE = ("s3://", "gs://", "as://")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model in a repository: `<repository>/<name>/`.

    Attributes:
        config_name: `configs/<config_name>.pbtxt` is its configuration, where there is such a file.
        namespace: its repository, where a name alone says not enough.
    """

    name: str
    path: Path
    config_name: str = ""
    namespace: str = ""

    @property
    def identifier(self) -> str:
        """What the model is known by."""
        return identifier(self.namespace, self.name)

    @property
    def config_path(self) -> Path:
        """Where its configuration is, or would be."""
        if self.config_name:
            chosen = self.path / CONFIGS_FOLDER / f"{self.config_name}.pbtxt"
            if is_there(chosen):
                return chosen
        return self.path / CONFIG_FILE

    @property
    def has_config(self) -> bool:
        """Whether there is a configuration."""
        return is_there(self.config_path)

    def version_folders(self) -> dict[int, Path]:
        """Version -> its folder, ascending.

        As in Triton, a folder counts by its leading digits (`1abc` is version 1), one with leading zeros does not
        count, nor does one that starts with anything else or with more than 64 bits hold. Where `1` and `1abc` both
        exist, `1` is version 1.

        Raises:
            NotFoundError: the model's folder is gone or cannot be read.
        """
        found: dict[int, Path] = {}
        try:
            entries = _subfolders(self.path)
        except OSError as error:
            raise NotFoundError(f"model folder '{self.path}' cannot be read: {error.strerror or error}") from None
        for entry in sorted(entries, key=lambda entry: (len(entry.name), entry.name)):
            digits = re.match(r"[0-9]+", entry.name)
            if entry.name in _NOT_VERSIONS or digits is None:
                continue
            if (entry.name.startswith("0") and entry.name != "0") or int(digits[0]) > _LARGEST_VERSION:
                continue
            found.setdefault(int(digits[0]), entry)
        return dict(sorted(found.items()))

    def versions(self) -> list[int]:
        """The versions on disk, ascending.

        Raises:
            NotFoundError: the model's folder is gone or cannot be read.
        """
        return list(self.version_folders())

    def version_path(self, version: int) -> Path:
        """The folder of a version, whether it exists or not.

        Raises:
            NotFoundError: the model's folder is gone or cannot be read.
        """
        return self.version_folders().get(version, self.path / str(version))


def model_folders(
    repositories: Iterable[str | os.PathLike[str]], config_name: str = ""
) -> dict[str, list[ModelFolder]]:
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
        try:
            entries = _subfolders(path)
        except FileNotFoundError:
            raise NotFoundError(f"model repository '{repository}' does not exist") from None
        except NotADirectoryError:
            raise NotFoundError(f"model repository '{repository}' is a file, not a folder") from None
        except (OSError, ValueError) as error:  # a ValueError: a name with a NUL character
            why = getattr(error, "strerror", None) or error
            raise NotFoundError(f"model repository {str(repository)!r} cannot be read: {why}") from None
        for entry in sorted(entries):
            if unspeakable(entry.name):
                continue
            models.setdefault(entry.name, []).append(ModelFolder(entry.name, entry, config_name))
    return models


def find_model(repositories: Iterable[Path], name: str, config_name: str = "") -> list[ModelFolder]:
    """The folders that `model_folders` would give for one name, without looking at all the others."""
    if name.startswith(".") or unspeakable(name) or any(character in name for character in "/\\\0"):
        return []
    return [ModelFolder(name, path / name, config_name) for path in repositories if is_folder(path / name)]


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
    """The folders in a folder that are not hidden; what vanishes while we look, or cannot be looked at, is none."""
    with os.scandir(path) as entries:
        return [path / entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
