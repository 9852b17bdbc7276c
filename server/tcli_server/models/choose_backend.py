"""Which backend runs a model: by the configuration, else by what its folder holds."""

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import BackendKind
from tcli_server.backends.registry import available, kinds
from tcli_server.errors import InvalidArgumentError
from tcli_server.repository.layout import ModelFolder

_ENSEMBLE = BackendKind("ensemble", "ensemble", "")
"""Not a backend, but named in the same place."""


def infer_backend(config: ModelConfig, folder: ModelFolder) -> None:
    """Fill name, backend, platform and default_model_filename where they are empty.

    The backend comes from the platform, else from default_model_filename, else from what the first version folder
    holds; a file name that ends as a backend's does is enough.

    Raises:
        InvalidArgumentError: nothing tells which backend runs the model.
    """
    if not config.name:
        config.name = folder.name
    if not config.backend:
        config.backend = _find(config, folder).name
    for kind in kinds():
        if kind.name == config.backend:
            config.platform = config.platform or kind.platform
            config.default_model_filename = config.default_model_filename or _found(kind, folder)


def name_backend(config: ModelConfig, folder: ModelFolder) -> None:
    """The same without auto-completion: by the platform alone.

    Raises:
        InvalidArgumentError: neither backend nor platform tells.
    """
    config.name = config.name or folder.name
    if not config.backend:
        if not config.platform:
            raise InvalidArgumentError("neither backend nor platform, and auto-completion is off")
        config.backend = _find(config, folder).name
    for kind in kinds():
        if kind.name == config.backend:
            config.default_model_filename = config.default_model_filename or kind.model_file


def _find(config: ModelConfig, folder: ModelFolder) -> BackendKind:
    expected = available()[0]
    if config.platform == _ENSEMBLE.platform:
        return _ENSEMBLE
    if config.platform:
        for kind in kinds():
            if config.platform == kind.platform:
                return kind
        raise InvalidArgumentError(
            f"unexpected platform type '{config.platform}' for {folder.name}: expected "
            f'"{expected.platform}", or backend: "{expected.name}"'
        )
    name = config.default_model_filename
    if name:
        for kind in kinds():
            if name in kind.files:
                return kind
        for kind in kinds():
            if Path(name).suffix in kind.suffixes:
                return kind
    else:
        content = _first_version_content(folder)
        for kind in kinds():
            if not content.isdisjoint(kind.files):
                return kind
    found = "the file name does not" if name else f"{folder.path} has no file that tells"
    raise InvalidArgumentError(
        f"could not determine the backend of model '{folder.name}': the configuration names none and {found} "
        f'(expected {folder.path / "1" / expected.model_file}); put the model there, or write backend: "{expected.name}" '
        "and default_model_filename"
    )


def _found(kind: BackendKind, folder: ModelFolder) -> str:
    """The name of the model's file: of those that a backend knows the first that is there."""
    if not kind.other_files:
        return kind.model_file
    content = _first_version_content(folder)
    return next((file for file in kind.files if file in content), kind.model_file)


def _first_version_content(folder: ModelFolder) -> set[str]:
    for path in sorted(folder.version_folders().values(), key=lambda path: path.name):
        try:
            return {entry.name for entry in path.iterdir()}
        except OSError:  # vanished or not readable: the next one tells as well
            continue
    return set()
