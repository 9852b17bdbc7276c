"""Finds everything that is wrong in a model repository before a server does, with the code that loads it."""

import contextlib
import difflib
import math
import os
from pathlib import Path

from tcli_server.backends.onnxruntime.graph import ModelFileError
from tcli_server.errors import InvalidArgumentError, NotFoundError, ServerError
from tcli_server.models import missing
from tcli_server.models.check_ensemble import composition_problem
from tcli_server.models.draft import Draft
from tcli_server.repository import CONFIG_FILE, ModelFolder, Problem, model_folders, read_labels
from tcli_server.repository.entries import entries, is_file, is_folder
from tcli_server.repository.layout import unspeakable


def check_repository(path: str | os.PathLike[str], model: str | None = None) -> list[Problem]:
    """Everything that is wrong with the models of a repository, or with one of them.

    Opens every model as a server would, and closes it again; changes nothing.

    Raises:
        NotFoundError: the repository is not there, or has no such model.
    """
    models = model_folders([path])
    if model is None:
        stray = [_stray_model(file) for file in missing.model_files(Path(path))]
        stray += [_unspeakable(entry) for entry in entries(Path(path)) if is_folder(entry) and unspeakable(entry.name)]
        return [*stray, *(problem for folders in models.values() for problem in check_model(folders[0]))]
    if model not in models:
        close = difflib.get_close_matches(model, models, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(models) or 'no models'}"
        raise NotFoundError(f"{path} has no model '{model}': {hint}")
    return check_model(models[model][0])


def check_model(folder: ModelFolder) -> list[Problem]:
    """Everything that is wrong with one model, in the order of its configuration's lines.

    A server loads the model exactly if none of the problems `blocks`.
    """
    draft = Draft(folder)
    draft.verify()
    problems = list(draft.problems)
    for version in draft.versions if draft.backend is not None else ():
        problems += [problem for problem in _open(draft, version) if problem not in problems]
    problems += [problem for problem in draft.problems if problem not in problems]
    if draft.is_ensemble and not problems:
        found = composition_problem(draft)
        problems += [found] if found is not None else []
    with contextlib.suppress(OSError, NotFoundError):  # a folder that vanishes or cannot be read: said already
        problems += [*_misplaced_configs(folder), *_unlisted_versions(draft), *_label_counts(draft)]
    return sorted(problems, key=lambda problem: (str(problem.file), problem.line or 0))


def _open(draft: Draft, version: int) -> list[Problem]:
    try:
        draft.try_version(version)
        draft.labels()
    except ModelFileError as error:
        return [Problem(error.path, None, "", error.found, "an ONNX model", error.fix)]
    except ServerError as error:
        path = draft.folder.version_path(version) / draft.config.default_model_filename
        return [missing.no_model_file(path) or Problem(path, None, "", str(error), "a model that loads", "replace it")]
    except Exception as error:  # as in loading: a backend may raise anything on a strange file
        text = f"{type(error).__name__}: {error}"
        return [Problem(draft.folder.version_path(version), None, "", text, "a model", "export it again")]
    return []


# --- what is worth knowing ---


def _misplaced_configs(folder: ModelFolder) -> list[Problem]:
    """A configuration that Triton does not read, because it lies or is called otherwise."""
    target = folder.config_path
    if folder.has_config:
        return []
    files = [entry for entry in entries(folder.path) if is_file(entry)]
    for version in folder.version_folders().values():
        files += [version / CONFIG_FILE] if is_file(version / CONFIG_FILE) else []
    return [
        Problem(file, None, "", "a configuration that is not read", f"{target}", f"move it to {target}", blocks=False)
        for file in files
        if file.name == CONFIG_FILE or file.suffix == ".pbtxt" or file.name.startswith("config.")
    ]


def _unlisted_versions(draft: Draft) -> list[Problem]:
    """Versions that the policy names and that are not there; the others are served."""
    folder, available = draft.folder, draft.folder.versions()
    return [
        Problem(
            folder.config_path,
            draft.line(f"version_policy.specific.versions[{index}]"),
            f"version_policy.specific.versions[{index}]",
            f"version {version}",
            f"a version that is there: {', '.join(map(str, available))}",
            f"add {folder.path / str(version)}, or remove {version} from the list",
            blocks=False,
        )
        for index, version in enumerate(draft.config.version_policy.specific.versions)
        if available and version not in available
    ]


def _label_counts(draft: Draft) -> list[Problem]:
    found = []
    for index, output in enumerate(draft.config.output):
        path = draft.folder.path / output.label_filename
        if not output.label_filename or not is_file(path):
            continue
        try:
            labels = read_labels(path)
        except InvalidArgumentError:  # said already
            continue
        classes = math.prod(output.dims)
        if output.dims and min(output.dims) > 0 and len(labels) != classes:
            field = f"output[{index}].label_filename"
            found.append(
                Problem(
                    draft.folder.config_path,
                    draft.line(field),
                    field,
                    f"{len(labels)} labels in {path}",
                    f"{classes}, one for each class of '{output.name}' (dims: {list(output.dims)})",
                    "add or remove lines" if labels else "write one class name a line",
                    blocks=False,
                )
            )
    return found


def _unspeakable(folder: Path) -> Problem:
    return Problem(
        folder, None, "", "a name that is no UTF-8 text", "a name that clients can ask for", "rename it", blocks=False
    )


def _stray_model(file: Path) -> Problem:
    return Problem(
        file,
        None,
        "",
        "a model file outside of any model's folder",
        f"{file.parent / file.stem / '1' / f'model{file.suffix}'}",
        f"run 'tcli repo add {file}', or move it there",
        blocks=False,
    )
