"""Finds everything that is wrong in a model repository before a server does."""

import difflib
import math
import os
from collections.abc import Iterable
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.onnx_graph import ModelFileError, external_files, load_graph, model_signature
from tcli_server.errors import ConfigError, InvalidArgumentError, NotFoundError
from tcli_server.repository.autocomplete import ONNX_FILE, complete_config, infer_backend
from tcli_server.repository.config_file import read_config_file
from tcli_server.repository.config_rules import config_problems
from tcli_server.repository.labels import read_labels
from tcli_server.repository.layout import CONFIG_FILE, ModelFolder, choose_versions, model_folders
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.signature import signature_problems
from tcli_server.repository.unsupported import unsupported_problems
from tcli_server.signature import ModelSignature


def check_repository(path: str | os.PathLike[str], model: str | None = None) -> list[Problem]:
    """Everything that is wrong with the models of a repository, or with one of them.

    Reads every configuration, model file and label file; runs nothing and changes nothing.

    Raises:
        NotFoundError: the repository is not there, or has no such model.
    """
    models = model_folders([path])
    if model is None:
        stray = [_stray_model(file) for file in sorted(Path(path).glob("*.onnx")) if file.is_file()]
        return [*stray, *(problem for folders in models.values() for problem in check_model(folders[0]))]
    if model not in models:
        close = difflib.get_close_matches(model, models, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(models) or 'no models'}"
        raise NotFoundError(f"{path} has no model '{model}': {hint}")
    return check_model(models[model][0])


def check_model(folder: ModelFolder) -> list[Problem]:
    """Everything that is wrong with one model, in the order of its configuration's lines."""
    return _Check(folder).run()


def _stray_model(file: Path) -> Problem:
    return Problem(
        file,
        None,
        "",
        "a model file outside of any model's folder",
        f"{file.parent / file.stem / '1' / ONNX_FILE}",
        f"run 'tcli repo add {file}', or move it there",
    )


class _Check:
    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._problems: list[Problem] = []
        self._config = ModelConfig()
        self._positions = Positions()
        self._has_config = folder.config_path.exists()

    def run(self) -> list[Problem]:
        self._read_config()
        self._add(config_problems(self._config, self._folder, self._positions))
        self._add(unsupported_problems(self._config, self._folder, self._positions))
        self._misplaced_configs()
        versions = self._versions()
        if self._is_onnx(bool(versions)):
            for version in versions:
                self._check_version(version)
        self._labels()
        return sorted(self._problems, key=lambda problem: (str(problem.file), problem.line or 0))

    def _add(self, problems: Iterable[Problem]) -> None:
        """Add problems, but only one kind of complaint about a field: what is wrong in form is said first."""
        known = {(problem.file, problem.field) for problem in self._problems if problem.field}
        self._problems += [
            problem
            for problem in problems
            if problem not in self._problems and (problem.file, problem.field) not in known
        ]

    def _add_one(self, file: Path, field: str, found: str, expected: str, fix: str) -> None:
        line = (self._positions.line(field) or 1) if file == self._folder.config_path and field else None
        self._add([Problem(file, line, field, found, expected, fix)])

    def _read_config(self) -> None:
        if not self._has_config:
            return  # auto-completion writes the whole configuration
        file = read_config_file(self._folder.config_path)
        self._config, self._positions = file.config, file.positions
        self._add(file.problems)

    def _misplaced_configs(self) -> None:
        """A configuration that Triton does not read, because it lies or is called otherwise."""
        target = self._folder.config_path
        if self._has_config:
            return
        files = [entry for entry in sorted(self._folder.path.iterdir()) if entry.is_file()]
        for version in self._folder.version_folders().values():
            files += [version / CONFIG_FILE] if (version / CONFIG_FILE).is_file() else []
        for file in files:
            if file.name == CONFIG_FILE or file.suffix == ".pbtxt" or file.name.startswith("config."):
                self._add_one(file, "", "a configuration that is not read", f"{target}", f"move it to {target}")

    def _versions(self) -> list[int]:
        """The versions that the policy chooses; says what is missing."""
        folder, policy = self._folder, self._config.version_policy
        available = folder.versions()
        if not available:
            self._no_version()
            return []
        for index, version in enumerate(policy.specific.versions):
            if version not in available:
                self._add_one(
                    folder.config_path,
                    f"version_policy.specific.versions[{index}]",
                    f"version {version}",
                    f"a version that is there: {', '.join(map(str, available))}",
                    f"add {folder.path / str(version)}, or remove {version} from the list",
                )
        return choose_versions(policy, available)

    def _no_version(self) -> None:
        path = self._folder.path
        expected = f"{path / '1' / ONNX_FILE}"
        models = sorted(path.glob("*.onnx"))
        others = [entry.name for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
        if models:
            fix = f"mkdir {path / '1'} and move {models[0].name} to {expected}"
            self._add_one(path, "", f"{models[0].name} but no version folder", expected, fix)
        elif others:
            found = f"no version folder: {', '.join(others)} is not a number without leading zeros"
            self._add_one(path, "", found, expected, f"rename {path / others[0]} to {path / '1'}")
        else:
            self._add_one(path, "", "no version folder", expected, "put the model file there")

    def _is_onnx(self, has_version: bool) -> bool:
        """Complete the backend; whether it is the one that can be looked into."""
        try:
            infer_backend(self._config, self._folder)
        except InvalidArgumentError as error:
            if has_version and not self._problems:
                self._wrong_file_name(str(error))
            return False
        return str(self._config.backend) == "onnxruntime"

    def _wrong_file_name(self, reason: str) -> None:
        for path in self._folder.version_folders().values():
            models = sorted(path.glob("*.onnx"))
            if models:
                self._add_one(
                    path,
                    "",
                    f"{models[0].name}",
                    ONNX_FILE,
                    f'rename it, or write default_model_filename: "{models[0].name}" into {self._folder.config_path}',
                )
                return
        self._add_one(self._folder.path, "", "no model file", reason, "put the model file there")

    def _check_version(self, version: int) -> None:
        name = self._config.default_model_filename
        path = self._folder.version_path(version) / name
        if path.is_dir():
            path = path / name  # a folder holds the model with its external data
        if not path.is_file():
            self._missing_model(path)
            return
        try:
            model = load_graph(path)
        except ModelFileError as error:
            self._add_one(path, "", error.found, "an ONNX model", error.fix)
            return
        for external in external_files(model):
            if not (path.parent / external).is_file():
                self._add_one(
                    path,
                    "",
                    f"no {external} beside it",
                    f"the file with its weights: {path.parent / external}",
                    "copy it there from where the model was exported",
                )
        self._compare(model_signature(model))

    def _missing_model(self, path: Path) -> None:
        others = [entry.name for entry in sorted(path.parent.glob("*.onnx"))] if path.parent.is_dir() else []
        fix = (
            f'rename {others[0]} to {path.name}, or write default_model_filename: "{others[0]}"'
            if others
            else "put the model file there"
        )
        self._add_one(path, "", f"no file{f' but {others[0]}' if others else ''}", "the model file", fix)

    def _compare(self, signature: ModelSignature) -> None:
        completed = ModelConfig()
        completed.CopyFrom(self._config)
        try:
            complete_config(completed, self._folder, signature)
        except ConfigError as error:
            for problem in error.problems:
                self._add_one(self._folder.config_path, problem.field, problem.found, problem.expected, problem.fix)
            return
        except InvalidArgumentError as error:
            self._add_one(self._folder.path, "", str(error), "a type of Triton's protocol", "change the model")
            return
        self._add(signature_problems(completed, signature, self._folder, self._positions))

    def _labels(self) -> None:
        for index, output in enumerate(self._config.output):
            path = self._folder.path / output.label_filename
            if not output.label_filename or not path.is_file():
                continue
            try:
                labels = read_labels(path)
            except InvalidArgumentError as error:
                self._add_one(path, "", str(error), "a text file with one class name a line", "save it as UTF-8 text")
                continue
            classes = math.prod(output.dims)
            if output.dims and min(output.dims) > 0 and len(labels) != classes:
                self._add_one(
                    self._folder.config_path,
                    f"output[{index}].label_filename",
                    f"{len(labels)} labels in {path}",
                    f"{classes}, one for each class of '{output.name}' (dims: {list(output.dims)})",
                    "add or remove lines" if labels else "write one class name a line",
                )
