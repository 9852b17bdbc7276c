"""From a folder on disk to a loaded model: read, complete, check, place the instances, load them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_server.backends import Backend, Placement
from tcli_server.backends.registry import backend
from tcli_server.errors import ConfigError, InternalError, InvalidArgumentError
from tcli_server.hardware.cores import usable_cores
from tcli_server.hardware.gpu import gpu_count
from tcli_server.models.model import Model, PlacedInstance
from tcli_server.repository import (
    ModelFolder,
    Positions,
    choose_versions,
    complete_config,
    config_problems,
    infer_backend,
    read_config_file,
    read_labels,
    signature_problems,
    unsupported_problems,
)

BackendConfig = Mapping[str, Mapping[str, str]]
"""`--backend-config`: backend name -> setting -> value."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A configuration that is read and checked as far as it can be without opening every version."""

    config: ModelConfig
    folder: ModelFolder
    versions: list[int]
    backend: Backend
    labels: dict[str, list[str]] = field(default_factory=dict)


def parse_config_json(name: str, text: str) -> ModelConfig:
    """A model configuration from the JSON form that the load API takes.

    Raises:
        InternalError: not JSON, or not a ModelConfig (the kind and the first words are Triton's).
    """
    try:
        return json_format.ParseDict(json.loads(text), ModelConfig())
    except (json.JSONDecodeError, json_format.ParseError) as error:
        raise InternalError(
            f"failed to load '{name}', failed to poll from model repository: the 'config' parameter is not a model "
            f"configuration in JSON: {error}"
        ) from None


def plan_load(
    folder: ModelFolder, override: ModelConfig | None, auto_complete: bool, backend_config: BackendConfig
) -> LoadPlan:
    """Read, complete and check a model's configuration.

    Raises:
        ConfigError: every problem found in the configuration.
        ServerError: the folder has no configuration and cannot do without, or no version to serve.
    """
    config, positions = _read(folder, override, auto_complete)
    problems = [*config_problems(config, folder, positions), *unsupported_problems(config, folder, positions)]
    if problems:
        raise ConfigError(problems)
    if auto_complete:
        infer_backend(config, folder)
    config.name = config.name or folder.name
    runner = backend(config.backend or _backend_of_platform(config.platform))
    versions = choose_versions(config.version_policy, folder.versions())
    if not versions:
        raise InvalidArgumentError(
            f"at least one version must be available under the version policy of model '{folder.name}': "
            f"{folder.path} has version folders {folder.versions() or 'none'}"
        )
    signature = runner.read_signature(model_file(config, folder, versions[-1]))
    if auto_complete:
        settings = backend_config.get(runner.name, {})
        default_max_batch_size = _whole_number(runner.name, settings, "default-max-batch-size", 4)
        complete_config(config, folder, signature, default_max_batch_size)
    problems = signature_problems(config, signature, folder, positions)
    if problems:
        raise ConfigError(problems)
    _normalise(config, runner)
    labels = {
        output.name: read_labels(folder.path / output.label_filename)
        for output in config.output
        if output.label_filename
    }
    return LoadPlan(config, folder, versions, runner, labels)


def load_version(plan: LoadPlan, version: int) -> Model:
    """Load one version with all its instances.

    Raises:
        ServerError: the file cannot be loaded.
    """
    start = time.monotonic()
    path = model_file(plan.config, plan.folder, version)
    instances: list[PlacedInstance] = []
    try:
        for placement in placements(plan.config):
            instance = plan.backend.create_instance(plan.config, path, placement)
            instances.append(PlacedInstance(placement, instance))
    except Exception:
        for placed in instances:
            placed.instance.close()
        raise
    return Model(plan.config, version, plan.folder.path, plan.labels, instances, time.monotonic() - start)


def model_file(config: ModelConfig, folder: ModelFolder, version: int) -> Path:
    """The model file of a version.

    Raises:
        InvalidArgumentError: it is not there.
    """
    name = config.default_model_filename or "model.onnx"
    path = folder.version_path(version) / name
    if not path.exists():
        raise InvalidArgumentError(
            f"{path} is missing: version {version} of model '{folder.name}' has no file '{name}' "
            "(default_model_filename sets another name)"
        )
    return path / name if path.is_dir() else path  # a folder holds the model with its external data


def placements(config: ModelConfig) -> list[Placement]:
    """Where each instance of a normalised configuration runs, CPU cores divided between the CPU instances."""
    on_cpu = sum(group.count for group in config.instance_group if group.kind == ModelInstanceGroup.KIND_CPU)
    threads = max(1, usable_cores() // max(1, on_cpu))
    result = []
    for group in config.instance_group:
        for index in range(group.count):
            if group.kind == ModelInstanceGroup.KIND_CPU:
                result.append(Placement(f"{group.name}_{index}", None, threads))
            else:
                result += [Placement(f"{group.name}_{index}_gpu{gpu}", gpu, threads) for gpu in group.gpus]
    return result


def _read(
    folder: ModelFolder, override: ModelConfig | None, auto_complete: bool
) -> tuple[ModelConfig, Positions | None]:
    """The configuration as given, and the line of each field where it comes from a file."""
    if override is not None:
        config = ModelConfig()
        config.CopyFrom(override)
        return config, None
    if folder.config_path.exists():
        file = read_config_file(folder.config_path)
        if file.problems:
            raise ConfigError(file.problems)
        return file.config, file.positions
    if auto_complete:
        return ModelConfig(), None
    raise InvalidArgumentError(
        f"{folder.config_path} is missing, and auto-completion is off (--disable-auto-complete-config)"
    )


def _backend_of_platform(platform: str) -> str:
    return {"onnxruntime_onnx": "onnxruntime"}.get(platform, platform)


def _whole_number(backend_name: str, settings: Mapping[str, str], key: str, default: int) -> int:
    text = settings.get(key, str(default))
    try:
        return int(text)
    except ValueError:
        raise InvalidArgumentError(
            f"--backend-config={backend_name},{key}={text}: expected a whole number, for example {default}"
        ) from None


def _normalise(config: ModelConfig, runner: Backend) -> None:
    """Write down what Triton shows for what was left out: backend, version policy, instance groups, batch sizes."""
    config.backend = runner.name
    if not config.version_policy.WhichOneof("policy_choice"):
        config.version_policy.latest.num_versions = 1
    config.optimization.input_pinned_memory.enable = _default_true(config.optimization, "input_pinned_memory")
    config.optimization.output_pinned_memory.enable = _default_true(config.optimization, "output_pinned_memory")
    if config.HasField("dynamic_batching") and not config.dynamic_batching.preferred_batch_size:
        config.dynamic_batching.preferred_batch_size.append(max(1, config.max_batch_size))
    _normalise_instance_groups(config, runner)


def _default_true(optimization: object, name: str) -> bool:
    return bool(getattr(optimization, name).enable) if optimization.HasField(name) else True  # type: ignore[attr-defined]


def _normalise_instance_groups(config: ModelConfig, runner: Backend) -> None:
    if not config.instance_group:
        config.instance_group.add()
    gpus = gpu_count()
    for index, group in enumerate(config.instance_group):
        group.name = group.name or (config.name if len(config.instance_group) == 1 else f"{config.name}_{index}")
        # Triton gives ONNX models two instances on CPU, each with a thread a core. One is faster there.
        group.count = group.count or 1
        if group.kind == ModelInstanceGroup.KIND_AUTO:
            usable = all(gpu < gpus for gpu in group.gpus) and runner.runs_on_gpu()
            group.kind = ModelInstanceGroup.KIND_GPU if usable else ModelInstanceGroup.KIND_CPU
        if group.kind == ModelInstanceGroup.KIND_GPU:
            _check_gpus(config, group, gpus)
            group.gpus[:] = group.gpus or range(gpus)


def _check_gpus(config: ModelConfig, group: ModelInstanceGroup, gpus: int) -> None:
    if not gpus:
        raise InvalidArgumentError(
            f"model '{config.name}': instance_group '{group.name}' has kind KIND_GPU, but this machine has no NVIDIA GPU "
            "(NVML finds none). Fix: kind: KIND_CPU, or leave kind out to take a GPU only where there is one"
        )
    absent = [gpu for gpu in group.gpus if not 0 <= gpu < gpus]
    if absent:
        raise InvalidArgumentError(
            f"model '{config.name}': instance_group '{group.name}' lists gpus {absent}, but this machine has "
            f"{gpus}, numbered from 0"
        )
