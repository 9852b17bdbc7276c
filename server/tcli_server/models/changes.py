"""What changed in a model's folder since it was loaded."""

import os
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository import ModelFolder

Files = dict[str, tuple[int, int]]
"""Path -> modification time in ns, and size."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model's folder at one moment.

    Attributes:
        shared: what all versions have in common: the configuration, labels, and folders that are no versions. Those whose
            names start with a dot are not the model's: backends write there.
        versions: the files of each version.
    """

    shared: Files
    versions: dict[int, Files]


def take_snapshot(folder: ModelFolder) -> Snapshot:
    """The folder as it is now; what vanishes or cannot be read meanwhile is left out."""
    versions = {version: _files(str(path)) for version, path in folder.version_folders().items()}
    apart = {path.name for path in folder.version_folders().values()}
    return Snapshot(_files(str(folder.path), apart), versions)


def apart_from_config(snapshot: Snapshot, folder: ModelFolder) -> Files:
    """What all versions have in common, without the configuration."""
    return {path: stamp for path, stamp in snapshot.shared.items() if path != str(folder.config_path)}


def of_each_version(config: ModelConfig) -> ModelConfig:
    """A configuration without what may change while a version is loaded."""
    copy = ModelConfig()
    copy.CopyFrom(config)
    copy.ClearField("instance_group")
    copy.ClearField("version_policy")
    return copy


def _files(root: str, leave_out: set[str] | None = None) -> Files:
    found: Files = {}
    for path, folders, names in os.walk(root):
        if path == root:
            folders[:] = [name for name in folders if name not in (leave_out or ()) and not name.startswith(".")]
        for name in names:
            file = os.path.join(path, name)  # noqa: PTH118 - a repository may hold very many files
            try:
                status = os.stat(file)  # noqa: PTH116
            except OSError:
                continue
            found[file] = (status.st_mtime_ns, status.st_size)
    return found
