"""What lies in a model's folder where its version folders or its model file should be."""

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.complaint import Complaint
from tcli_server.backends.registry import available, usual
from tcli_server.repository import ModelFolder, Problem
from tcli_server.repository.entries import entries, is_file, is_folder, is_there


def no_version(folder: ModelFolder) -> Problem | None:
    """Why a folder has no version; None if it has one."""
    if folder.versions():
        return None
    path = folder.path
    expected = path / "1" / usual().model_file
    models = model_files(path)
    others = [entry.name for entry in entries(path) if is_folder(entry) and not entry.name.startswith(".")]
    if models:
        found = f"{models[0].name} but no version folder"
        fix = f"mkdir {path / '1'} and move {models[0].name} to {expected}"
    elif others:
        found = f"no version folder: {', '.join(others)} is not a number without leading zeros"
        fix = f"rename {path / others[0]} to {path / '1'}"
    else:
        found, fix = "no version folder", "put the model file there"
    return Problem(path, None, "", found, str(expected), fix)


def no_chosen_version(folder: ModelFolder) -> Problem:
    """The version policy chooses none of the versions that are there."""
    there = ", ".join(map(str, folder.versions()))
    return Problem(
        folder.path,
        None,
        "",
        f"version folders {there}, none of which the version policy chooses",
        "at least one version to serve",
        "change version_policy, or add a version that it chooses",
    )


def no_model(folder: ModelFolder, reason: str) -> Problem:
    """Nothing tells what runs the model, perhaps only because its file is called otherwise."""
    for path in folder.version_folders().values():
        models = model_files(path)
        if models:
            name = models[0].name
            usual = next(file for kind in available() for file in kind.files if Path(file).suffix == models[0].suffix)
            fix = f'rename it, or write default_model_filename: "{name}" into {folder.config_path}'
            return Problem(path, None, "", name, usual, fix)
    return Problem(folder.path, None, "", "no model file", reason, "put the model file there")


def wrong_field(config: ModelConfig, folder: ModelFolder) -> Complaint | None:
    """The field that keeps a file from telling what runs it, although it is called as it should; None without one."""
    names = {file.name for path in folder.version_folders().values() for file in model_files(path)}
    for kind in available():
        file = next((file for file in kind.files if file in names), None)
        if file is None:
            continue
        for field, given, wanted in (
            ("platform", config.platform, kind.platform),
            ("default_model_filename", config.default_model_filename, file),
        ):
            if given:
                return Complaint(field, f"'{given}'", f"'{wanted}'", f'write {field}: "{wanted}"')
        wanted = f'backend: "{kind.name}"'
        return Complaint("backend", "neither backend nor platform, without auto-completion", wanted, f"write {wanted}")
    return None


def no_model_file(path: Path) -> Problem | None:
    """What is wrong with the path of a model file; None if a file is there."""
    if is_file(path) or path in model_files(path.parent):
        return None
    if is_there(path) and not is_folder(path):
        return Problem(path, None, "", "no regular file", "the model file", "put the model file there")
    others = [entry.name for entry in model_files(path.parent)]
    fix = (
        f'rename {others[0]} to {path.name}, or write default_model_filename: "{others[0]}"'
        if others
        else "put the model file there"
    )
    return Problem(path, None, "", f"no file{f' but {others[0]}' if others else ''}", "the model file", fix)


def model_files(folder: Path) -> list[Path]:
    """What is in a folder and ends as some backend's models do: files, or folders where these are such."""
    suffixes = {suffix: kind.is_folder for kind in available() for suffix in kind.suffixes}
    return [
        entry
        for entry in entries(folder)
        if entry.suffix in suffixes and (is_folder(entry) if suffixes[entry.suffix] else is_file(entry))
    ]
