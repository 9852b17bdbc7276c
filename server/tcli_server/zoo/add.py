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
from tcli_server.zoo.described import describe_model
from tcli_server.zoo.found_model import FoundModel, find_model
from tcli_server.zoo.labels import LABEL_FILE, class_counts, labelled_output
from tcli_server.zoo.model_files import model_files, place_files
from tcli_server.zoo.model_name import as_model_name, check_model_name


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
) -> AddedModel:
    """Write `<repository>/<name>/` with the model as version 1 and the configuration that the model itself tells.

    Without a `max_batch_size` a model gets 8 where all its inputs and outputs have a first dimension that varies and a batch
    of random items gives what the items give alone, any other 0.

    Args:
        source: a model's file, or a folder that is or holds a model.
        comments: lines for the beginning of the configuration.

    Raises:
        ServerError: it is no model, cannot be served as asked, or the folder exists and `force` is not given.
    """
    found = find_model(source)
    name = check_model_name(name) if name is not None else as_model_name(found.name)
    handling(found.kind).check(found.path)
    _check_installed(found)
    own, files = model_files(found)
    target = repository / name
    if is_there(target) and not force:
        raise AlreadyExistsError(f"{target} already exists")
    class_names = read_labels(labels) if labels is not None else []
    notes = [f"{found.path} was taken; beside it there are also {_relative(found)}"] if found.others else []
    with staged_folder(target, force) as folder:
        version = folder / "1"
        version.mkdir()
        place_files(files, version)
        try:
            config, told = describe_model(found.kind, name, version / own, folder, max_batch_size)
        except ServerError as error:
            raise _translated(error, folder, own, found, files) from error
        notes += told
        if class_names:
            _attach(config, labels, len(class_names))
            (folder / LABEL_FILE).write_text("\n".join(class_names) + "\n", "utf-8")
        text = config_text(config, found, comments)
        (folder / CONFIG_FILE).write_text(text, "utf-8")
    return AddedModel(target, config, tuple(notes))


def _check_installed(found: FoundModel) -> None:
    kind = found.kind
    if is_installed(kind):
        return
    fix = installation(kind)
    missing = "is not installed" if fix else "this server does not have"
    fix = fix or "serve it with NVIDIA Triton, or add the ONNX file that it was made from"
    raise InvalidArgumentError(f"{found.path} is a model for the backend '{kind.name}', which {missing}: {fix}")


def _relative(found: FoundModel) -> str:
    shown = [os.path.relpath(path, found.around[-1]) for path in found.others[:6]]
    return ", ".join(shown) + (", ..." if len(found.others) > len(shown) else "")


def _attach(config: ModelConfig, labels: Path | None, count: int) -> None:
    output = labelled_output(config, count)
    if output is None:
        raise InvalidArgumentError(
            f"{labels} has {count} labels, but no output has as many classes: {class_counts(config)}"
        )
    output.label_filename = LABEL_FILE


def _translated(
    error: ServerError, folder: Path, own: str, found: FoundModel, files: Mapping[str, Path]
) -> ServerError:
    """The error with the paths that the user knows, in place of those of the copy, which is not there any more."""
    text, version = str(error), folder / "1"
    for place, path in files.items():
        text = text.replace(str(version / place), str(path))
    text = text.replace(str(version / own), str(found.path)).replace(str(version), str(found.path.parent))
    return error_of_kind(error.kind, text.replace(str(folder), str(found.path.parent)))
