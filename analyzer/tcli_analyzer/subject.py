"""The model under analysis: its configuration, its inputs, and whether it takes batches."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.batching import BatchableModel, NotBatchableError, make_batchable
from tcli_analyzer.configuration import (
    Configuration,
    fill_gaps,
    has_one_item_shapes,
    instance_count,
    label_of,
    same_behaviour,
    split_batch_dimension,
    with_defaults,
)
from tcli_analyzer.inputs import resolve_shapes
from tcli_analyzer.workspace import Workspace
from tcli_server.errors import NotFoundError, ServerError
from tcli_server.proof import SIZES, Verdict, prove_apart
from tcli_server.repository import ModelFolder, choose_versions, model_folders, read_config, read_config_file

ONNX_BACKEND = "onnxruntime"
"""The backend whose model files can be rewritten."""


class NotAnalyzableError(Exception):
    """The model is of a kind that is not analyzed.

    Attributes:
        fix: what to do instead.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


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
        verdict: how batches compare with single items; None for a model that takes none.
        default: the model with the defaults of everything that can be left out; None where that is the current configuration.
    """

    folder: ModelFolder
    complete: ModelConfig
    base: ModelConfig
    current: Configuration
    shapes: dict[str, tuple[int, ...]]
    guessed: tuple[str, ...]
    batchable: BatchableModel | None
    not_batchable: str
    verdict: Verdict | None = None
    default: Configuration | None = None

    @property
    def check(self) -> Verdict | None:
        """How batches were compared with single items; None where that was not possible or they differ."""
        return self.verdict if self.verdict is not None and self.verdict.outcome == "ok" else None

    @property
    def wrong_batches(self) -> str:
        """How a batch of a model that batches differs from single items; empty if it does not."""
        return self._reason_of("wrong")

    @property
    def unchecked(self) -> str:
        """Why that could not be found out; empty if it could."""
        return self._reason_of("unchecked")

    def _reason_of(self, outcome: str) -> str:
        return self.verdict.reason if self.verdict is not None and self.verdict.outcome == outcome else ""

    def batch_sizes(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the wanted sizes that may be recommended: 1 if batches are wrong, none above the owner's if unchecked."""
        largest = 1 if self.wrong_batches else self.complete.max_batch_size if self.unchecked else max(wanted)
        return tuple(size for size in wanted if size <= largest) or (1,)

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
        NotAnalyzableError: it is an ensemble.
    """
    models = model_folders(repositories)
    found = models.get(name, [])
    if len(found) == 1:
        _check_kind(found[0])
        return found[0]
    places = ", ".join(str(repository) for repository in repositories)
    if found:
        raise NotFoundError(f"model '{name}' is in several repositories: {places}")
    there = ", ".join(sorted(models)) or "none"
    close = difflib.get_close_matches(name, models, 1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise NotFoundError(f"model '{name}' is not in {places}; {hint}models there: {there}")


def _check_kind(folder: ModelFolder) -> None:
    try:
        config = read_config_file(folder.config_path).config if folder.has_config else ModelConfig()
    except ServerError:  # told when it is loaded
        return
    if config.HasField("ensemble_scheduling"):
        steps = ", ".join(dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step))
        raise NotAnalyzableError(
            f"'{folder.name}' is an ensemble, which has no batch size and instances of its own",
            f"analyze the models that it is made of: {steps}",
        )


def check_one_answer(config: ModelConfig) -> None:
    """An analysis takes a request for done with its answer.

    Args:
        config: complete.

    Raises:
        NotAnalyzableError: the model answers as often as it likes.
    """
    if config.model_transaction_policy.decoupled:
        raise NotAnalyzableError(
            f"'{config.name}' is decoupled: it answers a request as often as it likes, and an analysis cannot tell when it is done",
            f"serve it, and measure it with tcli perf -m {config.name} -i grpc --streaming",
        )


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
    batchable, reason, verdict = None, "", None
    if complete.max_batch_size:
        note("checking on random items that a batch gives what single items give ...")
        verdict = _check_batches(folder, complete, resolved, guessed)
    else:
        note("max_batch_size is 0: trying to make the model batchable in a working copy ...")
        try:
            batchable = _try_batchable(folder, complete, resolved, guessed, workspace)
            verdict = batchable.check
            base = split_batch_dimension(base)
            _choose_version(base, folder, complete, bool(batchable.edits))
        except NotBatchableError as error:
            reason = str(error)
    instances = instance_count(complete)
    label = f"current ({label_of(complete.max_batch_size, instances)})"
    wrong_own = verdict is not None and verdict.outcome == "wrong" and complete.max_batch_size > 1
    config = fill_gaps(written, complete)
    own = Configuration(label, complete.max_batch_size, instances, config, current=True, wrong_batches=wrong_own)
    default = defaults_of(own)
    return Subject(folder, complete, base, own, resolved, tuple(guessed), batchable, reason, verdict, default)


_DEFAULTS = "_defaults"
"""How the name of the model's defaults ends."""


def is_default(configuration: Configuration) -> bool:
    """Whether it is what `defaults_of` gives."""
    return configuration.name.endswith(_DEFAULTS) and not configuration.current


def defaults_of(current: Configuration) -> Configuration | None:
    """The model with the defaults of everything that can be left out; None where that is the current configuration."""
    plain = with_defaults(current.config)
    if same_behaviour(plain, current.config):
        return None
    batch = f"batch {current.max_batch_size}, no batcher" if current.max_batch_size else "no batching"
    label = f"defaults ({batch}, 1 instance)"
    name = f"{plain.name}{_DEFAULTS}"
    return Configuration(
        label,
        current.max_batch_size,
        1,
        plain,
        wrong_batches=current.wrong_batches,
        name=name,
        changes_numbers=plain.optimization != current.config.optimization,
    )


def _check_batches(
    folder: ModelFolder, complete: ModelConfig, shapes: Mapping[str, tuple[int, ...]], guessed: Sequence[str]
) -> Verdict:
    """Compare batches of a model that takes them with single items, those that its configuration does not allow as well."""
    given = _given(complete, shapes, guessed)
    if complete.max_batch_size < max(SIZES):
        larger = ModelConfig()
        larger.CopyFrom(complete)
        larger.max_batch_size = max(SIZES)
        verdict = prove_apart(folder, config=larger, shapes=given)
        if verdict.outcome != "unchecked":
            return verdict
    return prove_apart(folder, shapes=given)


def _given(
    config: ModelConfig, shapes: Mapping[str, tuple[int, ...]], guessed: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """The shapes of those inputs whose variable dimensions the user has given."""
    return {
        one.name: shapes[one.name][-len(one.dims) :]
        for one in config.input
        if -1 in one.dims and one.name not in guessed
    }


def _is_ragged(config: ModelConfig) -> bool:
    return bool(config.batch_input or config.batch_output) or any(t.allow_ragged_batch for t in config.input)


def _graph_shapes(
    config: ModelConfig, shapes: Mapping[str, tuple[int, ...]], guessed: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Each input's shape as the model file has it, without the implicit batch dimension; -1 where the size was guessed."""
    found = {}
    for tensor in config.input:
        dims = tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
        given = shapes[tensor.name][-len(tensor.dims) :]
        known = -1 not in dims or tensor.name in guessed
        found[tensor.name] = dims if known else given
    return found


def _try_batchable(
    folder: ModelFolder,
    complete: ModelConfig,
    shapes: Mapping[str, tuple[int, ...]],
    guessed: Sequence[str],
    workspace: Workspace,
) -> BatchableModel:
    if complete.backend != ONNX_BACKEND:
        raise NotBatchableError(f"only ONNX models can be rewritten, this one is for the backend '{complete.backend}'")
    if _is_ragged(complete):
        raise NotBatchableError("it has batches of its own kind (allow_ragged_batch, batch_input, batch_output)")
    if not has_one_item_shapes(complete):
        raise NotBatchableError("a tensor's shape in the configuration does not start with a dimension of 1 or -1")
    item_shapes = _graph_shapes(split_batch_dimension(complete), shapes, guessed)
    batchable = make_batchable(served_model_file(folder, complete), workspace.add_rewritten(), item_shapes)
    if not batchable.edits:  # then the version policy stays, and must find it
        version = workspace.renumber(served_version(folder, complete))
        return replace(batchable, path=version / batchable.path.name)
    return batchable


def served_version(folder: ModelFolder, complete: ModelConfig) -> int:
    """The newest version that the version policy serves."""
    return choose_versions(complete.version_policy, folder.versions())[-1]


def served_model_file(folder: ModelFolder, complete: ModelConfig) -> Path:
    """The file of the newest version that the version policy serves."""
    path = folder.version_path(served_version(folder, complete)) / (complete.default_model_filename or "model.onnx")
    return path / path.name if path.is_dir() else path


def _choose_version(config: ModelConfig, folder: ModelFolder, complete: ModelConfig, rewritten: bool) -> None:
    """Serve only the version that is analyzed: the configuration to come does not fit the files of others.

    A rewritten file becomes the latest version, and the latest is served where no policy says otherwise.
    """
    versions = folder.versions()
    if rewritten or (len(versions) > 1 and served_version(folder, complete) == versions[-1]):
        config.ClearField("version_policy")
    elif len(versions) > 1:
        config.version_policy.specific.versions[:] = [served_version(folder, complete)]
