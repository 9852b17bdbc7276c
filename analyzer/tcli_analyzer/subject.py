"""The model under analysis: its configuration, its inputs, and whether it takes batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.batching import BatchableModel, NotBatchableError, make_batchable
from tcli_analyzer.configuration import (
    Configuration,
    fill_gaps,
    has_one_item_shapes,
    instance_count,
    label_of,
    split_batch_dimension,
)
from tcli_analyzer.inputs import resolve_shapes
from tcli_analyzer.workspace import Workspace
from tcli_server.errors import NotFoundError
from tcli_server.repository import ModelFolder, choose_versions, model_folders, read_config


@dataclass(frozen=True)
class Subject:
    """What the sweep needs to know of the model.

    Attributes:
        complete: its current configuration, as the server completed it.
        base: what the grid's configurations vary.
        current: the configuration to compare with.
        shapes: each input's shape without the batch dimension.
        guessed: inputs with -1 dimensions that were taken as 1.
        batchable: the rewritten model file, if one was needed and possible.
        not_batchable: why batch sizes are not swept; empty if they are.
    """

    folder: ModelFolder
    complete: ModelConfig
    base: ModelConfig
    current: Configuration
    shapes: dict[str, tuple[int, ...]]
    guessed: tuple[str, ...]
    batchable: BatchableModel | None
    not_batchable: str

    @property
    def batches(self) -> bool:
        return not self.not_batchable

    @property
    def placeholder(self) -> str:
        """What its weights are if they are not the real ones ("random weights"); empty otherwise."""
        return placeholder_of(self.complete)


def placeholder_of(config: ModelConfig) -> str:
    """The text of the `tcli_placeholder` parameter, empty where there is none."""
    key = "tcli_placeholder"
    return str(config.parameters[key].string_value) if key in config.parameters else ""


def find_model(repositories: Sequence[Path], name: str) -> ModelFolder:
    """The model's folder.

    Raises:
        NotFoundError: no repository, or no such model in it (the message lists those there are), or several.
    """
    models = model_folders(repositories)
    found = models.get(name, [])
    if len(found) == 1:
        return found[0]
    places = ", ".join(str(repository) for repository in repositories)
    if found:
        raise NotFoundError(f"model '{name}' is in several repositories: {places}")
    there = ", ".join(sorted(models)) or "none"
    raise NotFoundError(f"model '{name}' is not in {places}; models there: {there}")


def examine(
    folder: ModelFolder,
    complete: ModelConfig,
    shapes: Mapping[str, Sequence[int]],
    workspace: Workspace,
    note: Callable[[str], None],
) -> Subject:
    """Read the model and, if it takes no batches yet, try to make it batchable in the workspace.

    Args:
        complete: its current configuration, as the server completed it.
        shapes: given by the user for inputs with variable dimensions.
        note: told about slow steps.

    Raises:
        UnknownInputError: `shapes` does not fit the model.
    """
    resolved, guessed = resolve_shapes(complete, shapes)
    written = read_config(folder.config_path) if folder.config_path.exists() else ModelConfig()
    base = fill_gaps(written, complete)
    batchable, reason = None, ""
    if not complete.max_batch_size:
        note("max_batch_size is 0: trying to make the model batchable in a working copy ...")
        try:
            batchable = _try_batchable(folder, complete, resolved, workspace)
            base = split_batch_dimension(base)
            if batchable.edits or len(folder.versions()) > 1:
                _serve_latest_only(base)
        except NotBatchableError as error:
            reason = str(error)
    instances = instance_count(complete)
    label = f"current ({label_of(complete.max_batch_size, instances)})"
    own = Configuration(label, complete.max_batch_size, instances, fill_gaps(written, complete), current=True)
    return Subject(folder, complete, base, own, resolved, tuple(guessed), batchable, reason)


def _try_batchable(
    folder: ModelFolder,
    complete: ModelConfig,
    shapes: Mapping[str, tuple[int, ...]],
    workspace: Workspace,
) -> BatchableModel:
    if complete.backend != "onnxruntime":
        raise NotBatchableError(f"only ONNX models can be rewritten, this one is for the backend '{complete.backend}'")
    if not has_one_item_shapes(complete):
        raise NotBatchableError("a tensor's shape in the configuration does not start with a dimension of 1 or -1")
    item_shapes = {}
    for tensor in split_batch_dimension(complete).input:
        dims = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
        given = list(shapes[tensor.name])[-len(tensor.dims) :]
        item_shapes[tensor.name] = tuple(dims) if -1 not in dims else tuple(given)
    return make_batchable(served_model_file(folder, complete), workspace.add_rewritten(), item_shapes)


def served_model_file(folder: ModelFolder, complete: ModelConfig) -> Path:
    """The file of the newest version that the version policy serves."""
    version = choose_versions(complete.version_policy, folder.versions())[-1]
    path = folder.version_path(version) / (complete.default_model_filename or "model.onnx")
    return path / path.name if path.is_dir() else path


def _serve_latest_only(config: ModelConfig) -> None:
    """Older versions have the old model file, which the new configuration does not fit."""
    config.ClearField("version_policy")
