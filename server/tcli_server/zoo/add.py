"""Adds a model that lies anywhere to a repository: `tcli repo add`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.registry import handling, installation, is_installed
from tcli_server.errors import AlreadyExistsError, InvalidArgumentError, ServerError, error_of_kind
from tcli_server.repository import CONFIG_FILE, read_labels
from tcli_server.repository.entries import is_there
from tcli_server.repository.staging import staged_folder
from tcli_server.zoo.added_config import config_text
from tcli_server.zoo.beside import look_beside
from tcli_server.zoo.beside_taken import take_labels, take_pictures
from tcli_server.zoo.described import Asked, describe_model
from tcli_server.zoo.found_model import FoundModel, find_model
from tcli_server.zoo.given_config import GivenConfig, check_given_config, read_given_config
from tcli_server.zoo.labels import LABEL_FILE, class_counts, labelled_output
from tcli_server.zoo.model_files import model_files, place_files
from tcli_server.zoo.model_name import as_model_name, check_model_name
from tcli_server.zoo.told_inputs import read_input


@dataclass(frozen=True, slots=True)
class AddedModel:
    """A model that was added: its folder, its configuration, and what the reader of it should know."""

    path: Path
    config: ModelConfig
    notes: tuple[str, ...]


def add_model(
    source: Path,
    repository: Path,
    name: str | None = None,
    labels: Path | None = None,
    max_batch_size: int | None = None,
    force: bool = False,
    comments: tuple[str, ...] = (),
    beside: Path | None = None,
    inputs: tuple[str, ...] = (),
    backend: str = "",
) -> AddedModel:
    """Write `<repository>/<name>/` with the model as version 1 and the configuration that the model itself tells.

    Without a `max_batch_size` a model gets 8 where all its inputs and outputs have a first dimension that varies and a batch
    of random items gives what the items give alone, any other 0.

    Args:
        source: a model's file, or a folder that is or holds a model.
        comments: lines for the beginning of the configuration.
        beside: the folder with what else is known of it (class names, how it takes pictures), if that is elsewhere.
        inputs: what the model does not say of its inputs: `x:FP32:-1,3,224,224`.
        backend: what is to run it; empty for what its content or name tells.

    Raises:
        ServerError: it is no model, cannot be served as asked, or the folder exists and `force` is not given.
    """
    names = (labels, read_labels(labels)) if labels is not None else None
    asked = Asked(max_batch_size, tuple(map(read_input, inputs)), names)
    found = find_model(source, backend)
    handling(found.kind).check(found.path)
    _check_installed(found)
    given = read_given_config(found.configured, name, asked) if found.configured is not None else None
    name = check_model_name(name if name is not None else (given and given.config.name) or as_model_name(found.name))
    target = repository / name
    if is_there(target) and not force:
        raise AlreadyExistsError(f"{target} already exists")
    own, files = model_files(found, given.config.default_model_filename if given is not None else "", repository)
    if given is not None:
        files = {place: path for place, path in files.items() if path not in given.files.values()}
    with staged_folder(target, force) as folder:
        version = folder / "1"
        version.mkdir()
        place_files(files, version)
        try:
            if given is not None:
                config, notes = _as_given(given, folder, name, comments)
            else:
                config, notes = _as_told(found, folder, name, own, asked, comments, beside)
        except ServerError as error:
            raise _translated(error, folder, own, found, files) from error
        except OSError:
            raise
        except Exception as error:  # as in loading: a backend may raise anything on a strange file
            fault = InvalidArgumentError(f"{version / own} does not load: {type(error).__name__}: {error}")
            raise _translated(fault, folder, own, found, files) from error
    told = (note.replace(str(folder), str(target)) for note in (*_not_chosen(found), *notes))
    return AddedModel(target, config, tuple(told))


def _as_told(
    found: FoundModel,
    folder: Path,
    name: str,
    own: str,
    asked: Asked,
    comments: tuple[str, ...],
    beside: Path | None,
) -> tuple[ModelConfig, list[str]]:
    """Complete a model's folder by what the model itself tells, and what lies beside it."""
    known = look_beside(((beside,) if beside is not None else ()) + found.around)
    config, notes = describe_model(found.kind, name, folder / "1" / own, folder, asked, known.pictures)
    notes += known.notes
    class_names = _attached(config, *asked.labels) if asked.labels is not None else take_labels(config, known, notes)
    take_pictures(config, known, notes)
    if class_names:
        (folder / LABEL_FILE).write_text("\n".join(class_names) + "\n", "utf-8")
    (folder / CONFIG_FILE).write_text(config_text(config, found, comments), "utf-8")
    if asked.inputs:  # of which the model itself knows little
        notes += check_given_config(folder, name)
    return config, notes


def _as_given(given: GivenConfig, folder: Path, name: str, comments: tuple[str, ...]) -> tuple[ModelConfig, list[str]]:
    """Complete a model's folder by the configuration that lay beside the model."""
    place_files(given.files, folder)
    head = "".join(f"# {line}\n" for comment in comments for line in comment.splitlines())
    (folder / CONFIG_FILE).write_text(head + given.text, "utf-8", "surrogateescape")
    return given.config, [f"the configuration is the {CONFIG_FILE} beside the model", *check_given_config(folder, name)]


def _check_installed(found: FoundModel) -> None:
    kind = found.kind
    if is_installed(kind):
        return
    fix = installation(kind)
    missing = "is not installed" if fix else "this server does not have"
    fix = fix or "serve it with NVIDIA Triton, or add the ONNX file that it was made from"
    raise InvalidArgumentError(f"{found.path} is a model for the backend '{kind.name}', which {missing}: {fix}")


def _not_chosen(found: FoundModel) -> list[str]:
    if not found.others:
        return []
    shown = [os.path.relpath(path, found.around[-1]) for path in found.others[:6]]
    more = ", ..." if len(found.others) > len(shown) else ""
    return [f"{found.path} was taken; beside it there are also {', '.join(shown)}{more}"]


def _attached(config: ModelConfig, file: Path, names: list[str]) -> list[str]:
    """The class names, after their file is named at the output that they are for."""
    output = labelled_output(config, len(names))
    if output is None:
        raise InvalidArgumentError(
            f"{file} has {len(names)} labels, but no output has as many classes: {class_counts(config)}"
        )
    output.label_filename = LABEL_FILE
    return names


def _translated(
    error: ServerError, folder: Path, own: str, found: FoundModel, files: Mapping[str, Path]
) -> ServerError:
    """The error with the paths that the user knows, in place of those of the copy, which is not there any more."""
    text, version = str(error), folder / "1"
    for place, path in files.items():
        text = text.replace(str(version / place), str(path))
    text = text.replace(str(version / own), str(found.path)).replace(str(version), str(found.path.parent))
    return error_of_kind(error.kind, text.replace(str(folder), str(found.path.parent)))
