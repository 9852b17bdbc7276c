"""Finds everything that is wrong in a model repository before a server does, with the code that loads it."""

import contextlib
import difflib
import math
import os
import re
from dataclasses import replace
from pathlib import Path

from tcli_server.backends.model_file import ModelFileError
from tcli_server.errors import InvalidArgumentError, NotFoundError, ServerError
from tcli_server.models import missing
from tcli_server.models.check_ensemble import composition_problem
from tcli_server.models.draft import BackendConfig, Draft
from tcli_server.repository import CONFIG_FILE, ModelFolder, Problem, read_labels
from tcli_server.repository.entries import entries, is_file, is_folder
from tcli_server.repository.identifiers import name_of
from tcli_server.repository.layout import unspeakable
from tcli_server.repository.repositories import Repositories


def check_repository(
    path: str | os.PathLike[str], model: str | None = None, settings: BackendConfig | None = None
) -> list[Problem]:
    """Everything that is wrong with the models of a repository, or with one of them.

    Opens every model as a server would, and closes it again; changes nothing.

    Args:
        settings: of the backends, as `Draft` takes them.

    Raises:
        NotFoundError: the repository is not there, or has no such model.
    """
    return check_repositories(Repositories([path]), model, settings)


def check_repositories(
    repositories: Repositories, model: str | None = None, settings: BackendConfig | None = None
) -> list[Problem]:
    """The same of several repositories that are served together.

    Args:
        model: a name, for all models of that name, or what one of them is known by.
        settings: of the backends, as `Draft` takes them.

    Raises:
        NotFoundError: as `check_repository`.
    """
    models = repositories.folders()
    chosen = checked_models(repositories, model)
    found = [problem for path in repositories.paths for problem in _strays(path)] if model is None else []
    for one in chosen:
        found += [_second_of_a_name(models[one][0], folder) for folder in models[one][1:]]
        found += [problem for folder in models[one] for problem in check_model(folder, repositories, settings)]
    return found


def checked_models(repositories: Repositories, model: str | None = None) -> list[str]:
    """What the models are known by that `check_repositories` looks at.

    Raises:
        NotFoundError: as `check_repository`.
    """
    models = repositories.folders()
    chosen = [one for one in models if model in (None, one, name_of(one))]
    if not chosen and model is not None:
        close = difflib.get_close_matches(model, models, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(models) or 'no models'}"
        raise NotFoundError(f"{', '.join(map(str, repositories.paths))} has no model '{model}': {hint}")
    return chosen


def check_model(
    folder: ModelFolder, repositories: Repositories | None = None, settings: BackendConfig | None = None
) -> list[Problem]:
    """Everything that is wrong with one model, in the order of its configuration's lines.

    A server loads the model exactly if none of the problems `blocks`.

    Args:
        repositories: where the models of its steps are; None for its own repository alone.
        settings: of the backends, as `Draft` takes them.
    """
    if repositories is None:
        repositories = Repositories([folder.path.parent], config_name=folder.config_name)
    draft = Draft(folder, settings=settings)
    draft.verify()
    problems = list(draft.problems)
    for version in draft.versions if draft.backend is not None else ():
        problems += [problem for problem in _open(draft, version) if problem not in problems]
    problems += [problem for problem in draft.problems if problem not in problems]
    if draft.is_ensemble and not problems:
        found = composition_problem(draft, repositories)
        problems += [found] if found is not None else []
    with contextlib.suppress(OSError, NotFoundError):  # a folder that vanishes or cannot be read: said already
        problems += [*_misplaced_configs(folder), *_unlisted_versions(draft), *_label_counts(draft)]
    problems += [replace(problem, blocks=False) for problem in draft.rate_limit_problems()]
    return sorted(problems, key=lambda problem: (str(problem.file), problem.line or 0))


def _open(draft: Draft, version: int) -> list[Problem]:
    try:
        draft.try_version(version)
        draft.labels()
    except ModelFileError as error:
        return [Problem(error.path, None, "", error.found, error.expected, error.fix)]
    except ServerError as error:
        path = _model_path(draft, version)
        return [missing.no_model_file(path) or _unloadable(path, str(error))]
    except Exception as error:  # as in loading: a backend may raise anything on a strange file
        text = f"{type(error).__name__}: {error}"
        return [Problem(draft.folder.version_path(version), None, "", text, "a model", "export it again")]
    return []


def _unloadable(path: Path, text: str) -> Problem:
    """What cannot be loaded, with the fix that the text may end with."""
    found, *fix = re.split("[.;] [Ff]ix: ", text, maxsplit=1)
    return Problem(path, None, "", found, "a model that loads", fix[0] if fix else "replace it")


def _model_path(draft: Draft, version: int) -> Path:
    code = draft.backend.code if draft.backend is not None else None
    return code or draft.folder.version_path(version) / draft.config.default_model_filename


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


def _strays(repository: Path) -> list[Problem]:
    """What lies in a repository and is no model."""
    strays = [_stray_model(file) for file in missing.model_files(repository)]
    return strays + [_unspeakable(each) for each in entries(repository) if is_folder(each) and unspeakable(each.name)]


def _second_of_a_name(first: ModelFolder, other: ModelFolder) -> Problem:
    return Problem(
        other.path,
        None,
        "",
        f"a second model '{other.name}', beside {first.path}",
        "one model of a name in all repositories, or neither is loaded",
        "rename one of them, or check and serve with --model-namespacing",
    )


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
