"""A configuration that lies beside a model already, as in the examples of Triton's Python backend."""

import re
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.errors import ConfigError, InvalidArgumentError
from tcli_server.models.check import check_model
from tcli_server.repository import (
    CONFIG_FILE,
    INITIAL_STATE_FOLDER,
    WARMUP_FOLDER,
    Edit,
    ModelFolder,
    apply_edits,
    path_fault,
    read_config_file,
)
from tcli_server.repository.entries import is_file, is_folder
from tcli_server.zoo.described import Asked
from tcli_server.zoo.model_files import tree

_IN_FOLDER = re.compile(r"\$\$TRITON_MODEL_DIRECTORY/(.+)")
"""How a parameter names a file of the model, an environment for Python above all."""


@dataclass(frozen=True, slots=True)
class GivenConfig:
    """The configuration, its text under the model's new name, and the files that it names: place in the folder -> where."""

    config: ModelConfig
    text: str
    files: dict[str, Path]


def read_given_config(folder: Path, name: str | None, asked: Asked) -> GivenConfig:
    """What lies in a folder beside a model.

    Args:
        name: what the model is to be called; None for what the configuration or else the folder says.

    Raises:
        InvalidArgumentError: it cannot be read, or says something else than is asked for.
    """
    path = folder / CONFIG_FILE
    file = read_config_file(path)
    if file.problems:
        raise ConfigError(file.problems)
    config, text = file.config, file.text
    if asked.max_batch_size not in (None, config.max_batch_size):
        raise InvalidArgumentError(
            f"max_batch_size is {asked.max_batch_size} as asked for, but {path} says {config.max_batch_size}: change it there"
        )
    if asked.labels is not None or asked.inputs:
        what = asked.labels[0] if asked.labels is not None else "what is said of inputs"
        raise InvalidArgumentError(
            f"{what} cannot be used, as there is a {CONFIG_FILE} beside the model: write it there"
        )
    if name is not None and config.name not in ("", name):
        line = file.positions.line("name") or 1
        column = text.split("\n")[line - 1].find(f'"{config.name}"')
        if column < 0:
            raise InvalidArgumentError(
                f"{path} says that the name is '{config.name}': change it there, or leave out --name"
            )
        text = apply_edits(text, [Edit(line, column + 1, f'"{config.name}"', f'"{name}"')])
        config.name = name
    return GivenConfig(config, text, _files(config, folder))


def check_given_config(folder: Path, name: str) -> list[str]:
    """What is worth knowing of a new model's folder, which a server can load.

    Raises:
        ConfigError: it cannot.
    """
    problems = check_model(ModelFolder(name, folder))
    blocking = [problem for problem in problems if problem.blocks]
    if blocking:
        raise ConfigError(blocking)
    return [str(problem) for problem in problems]


def _files(config: ModelConfig, folder: Path) -> dict[str, Path]:
    """Files of the model that are not of a version: class names, warm-up samples, initial states, environments."""
    names = {output.label_filename for output in config.output if output.label_filename}
    for parameter in config.parameters.values():
        names.update(_IN_FOLDER.findall(parameter.string_value))
    files = {name: folder / name for name in names if path_fault(name) is None and is_file(folder / name)}
    for part in (WARMUP_FOLDER, INITIAL_STATE_FOLDER):
        if is_folder(folder / part):
            files.update({f"{part}/{place}": path for place, path in tree(folder / part).items()})
    return files
