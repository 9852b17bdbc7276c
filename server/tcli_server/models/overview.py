"""What a model repository holds, at a glance."""

import os
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tcli_server.backends import Placement
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.errors import NotFoundError
from tcli_server.models.check import check_model
from tcli_server.models.draft import Draft
from tcli_server.repository import ModelFolder, model_folders
from tcli_server.repository.ensemble_rules import ENSEMBLE


@dataclass(frozen=True, slots=True)
class TensorOverview:
    """One input or output as clients see it; `datatype` is the V2 name, empty where it is not known."""

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelOverview:
    """One model of a repository, its configuration completed as far as possible.

    Attributes:
        backend: `ensemble` where other models run; empty where nothing tells what runs the model.
        placeholder: whether its weights are random because the real ones could not be had.
        problem_count: how many problems `check_model` finds.
    """

    name: str
    path: Path
    versions: tuple[int, ...]
    backend: str
    max_batch_size: int
    inputs: tuple[TensorOverview, ...]
    outputs: tuple[TensorOverview, ...]
    placeholder: bool
    problem_count: int


def model_overviews(repository: str | os.PathLike[str]) -> list[ModelOverview]:
    """Every model of a repository by name.

    Raises:
        NotFoundError: the repository is not there.
    """
    return [_overview(folders[0]) for folders in model_folders([repository]).values()]


def _overview(folder: ModelFolder) -> ModelOverview:
    config = completed_config(folder)
    return ModelOverview(
        name=folder.name,
        path=folder.path,
        versions=_versions(folder),
        backend=config.backend or (ENSEMBLE if config.platform == ENSEMBLE else ""),
        max_batch_size=config.max_batch_size,
        inputs=tuple(_tensor(tensor) for tensor in config.input),
        outputs=tuple(_tensor(tensor) for tensor in config.output),
        placeholder="tcli_placeholder" in config.parameters,
        problem_count=len(check_model(folder)),
    )


def _versions(folder: ModelFolder) -> tuple[int, ...]:
    try:
        return tuple(folder.versions())
    except NotFoundError:  # `check_model` tells
        return ()


def completed_config(folder: ModelFolder) -> ModelConfig:
    """The configuration, completed where that works; what does not work is `check_model`'s to tell."""
    draft = Draft(folder)
    if draft.backend is None or not draft.versions or (draft.config.input and draft.config.output):
        return draft.config
    try:
        instance, config = draft.open(draft.versions[-1], Placement(folder.name, None, 1))
    except Exception:
        return draft.config
    instance.close()
    return config


def _tensor(tensor: ModelInput | ModelOutput) -> TensorOverview:
    known = BY_CONFIG_TYPE.get(tensor.data_type)
    return TensorOverview(tensor.name, known.name if known else "", tuple(tensor.dims))
