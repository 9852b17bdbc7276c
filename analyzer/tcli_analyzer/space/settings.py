"""What a configuration says beside batch size and instances, in words that are the same for all engines; read and written."""

from dataclasses import dataclass
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_server.backends import BackendKind
from tcli_server.backends.knobs import Knobs, Provider
from tcli_server.backends.registry import kind_of, kinds

_OURS = "tcli_"
"""How parameters begin that are for no engine."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a configuration says.

    Attributes:
        queue_delay_us: 0 = batches do not wait to grow.
        preferred_batch_sizes: rising; none = any.
        threads: of an instance; 0 = its share of the cores.
        engine: the backend's name.
        provider: one of the engine's; empty where it is none that is known, and then it stays as it is.
        precision: `f32`, `bf16` or `f16`; empty = the engine's own choice, or the model file's.
        graph_level: `optimization.graph.level`.
    """

    queue_delay_us: int = 0
    preferred_batch_sizes: tuple[int, ...] = ()
    threads: int = 0
    engine: str = ""
    provider: str = ""
    precision: str = ""
    graph_level: int = 0


def engine_of(config: ModelConfig) -> str:
    """The name of the backend; empty where the configuration names none."""
    if config.backend or not config.platform:
        return str(config.backend)
    return next((kind.name for kind in kinds() if config.platform in kind.platforms), "")


def knobs_of(engine: str) -> Knobs:
    """What an engine reads; nothing of one that is not known."""
    kind = kind_of(engine)
    return kind.knobs if kind is not None else Knobs(providers=())


def provider_of(engine: str, name: str) -> Provider | None:
    """An engine's provider by its name."""
    return next((one for one in knobs_of(engine).providers if one.name == name), None)


def read_settings(config: ModelConfig) -> Settings:
    """What a configuration says."""
    engine = engine_of(config)
    knobs = knobs_of(engine)
    provider = _read_provider(config, knobs)
    batching = config.dynamic_batching if config.HasField("dynamic_batching") and config.max_batch_size > 1 else None
    return Settings(
        queue_delay_us=batching.max_queue_delay_microseconds if batching is not None else 0,
        preferred_batch_sizes=tuple(sorted(batching.preferred_batch_size)) if batching is not None else (),
        threads=_read_number(config, knobs.threads),
        engine=engine,
        provider=provider.name if provider is not None else "",
        precision=_read_precision(config, provider),
        graph_level=config.optimization.graph.level if knobs.graph_levels else 0,
    )


def write_settings(base: ModelConfig, wanted: Settings, model_file: str) -> ModelConfig:
    """`base` so that it says what is wanted; what it says already stays as it is written.

    A batcher's settings are written only where there is one, the other settings only where the engine reads them, and
    preferred sizes only up to `max_batch_size`.

    Args:
        model_file: the name of the model's file, for an engine that would look for another.
    """
    config = ModelConfig()
    config.CopyFrom(base)
    if wanted.engine != engine_of(base):
        _change_engine(config, wanted.engine, model_file)
    own = read_settings(config)
    provider = provider_of(wanted.engine, wanted.provider)
    if provider is not None and wanted.provider != own.provider:
        _change_provider(config, provider)
    knobs = knobs_of(wanted.engine)
    if wanted.threads != own.threads or (provider is not None and provider.threads):
        _write_parameter(config, knobs.threads, str(wanted.threads or ""))
        if provider is not None and provider.threads:
            _write_option(config, provider, provider.threads, str(wanted.threads or ""))
    if provider is not None and provider.precision and wanted.precision != _read_precision(config, provider):
        value = provider.precisions.get(wanted.precision, "")
        if provider.accelerator:
            _write_option(config, provider, provider.precision, value)
        else:
            _write_parameter(config, provider.precision, value)
        for key in provider.synonyms:
            _write_parameter(config, key, "")
    if knobs.graph_levels and wanted.graph_level != own.graph_level:
        config.optimization.graph.level = wanted.graph_level
        _drop_empty_optimization(config)
    if config.HasField("dynamic_batching") and config.max_batch_size > 1:
        config.dynamic_batching.max_queue_delay_microseconds = wanted.queue_delay_us
        sizes = [size for size in wanted.preferred_batch_sizes if size <= config.max_batch_size]
        config.dynamic_batching.preferred_batch_size[:] = sizes
    return config


def _change_engine(config: ModelConfig, engine: str, model_file: str) -> None:
    """Another engine for the same file; what only the old one reads goes."""
    config.ClearField("platform")
    config.ClearField("runtime")
    config.backend = engine
    config.default_model_filename = config.default_model_filename or model_file
    for key in [key for key in config.parameters if not key.startswith(_OURS)]:
        del config.parameters[key]
    config.ClearField("optimization")
    for group in config.instance_group:
        group.ClearField("profile")
        group.ClearField("secondary_devices")


def _change_provider(config: ModelConfig, provider: Provider) -> None:
    accelerators = config.optimization.execution_accelerators
    config.optimization.ClearField("execution_accelerators")
    if not config.instance_group:
        config.instance_group.add()
    for group in config.instance_group:
        if (group.kind == ModelInstanceGroup.KIND_GPU) != provider.on_gpu:
            group.ClearField("gpus")
        group.kind = ModelInstanceGroup.KIND_GPU if provider.on_gpu else ModelInstanceGroup.KIND_CPU
    if provider.accelerator:
        accelerators = config.optimization.execution_accelerators
        side = accelerators.gpu_execution_accelerator if provider.on_gpu else accelerators.cpu_execution_accelerator
        side.add(name=provider.accelerator)
    _drop_empty_optimization(config)


def _drop_empty_optimization(config: ModelConfig) -> None:
    if config.optimization.HasField("graph") and not config.optimization.graph.level:
        config.optimization.ClearField("graph")
    if not config.optimization.ListFields():
        config.ClearField("optimization")


def _read_provider(config: ModelConfig, knobs: Knobs) -> Provider | None:
    kinds_there = {group.kind for group in config.instance_group} or {ModelInstanceGroup.KIND_CPU}
    if not kinds_there <= {ModelInstanceGroup.KIND_GPU, ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_AUTO}:
        return None
    on_gpu = kinds_there == {ModelInstanceGroup.KIND_GPU}
    if not on_gpu and ModelInstanceGroup.KIND_GPU in kinds_there:
        return None
    named = [one.name for one in _accelerators(config, on_gpu)]
    fitting = [one for one in knobs.providers if one.on_gpu == on_gpu]
    by_name = next((one for one in fitting if one.accelerator and one.accelerator in named), None)
    return by_name or next((one for one in fitting if not one.accelerator), None)


def _accelerators(config: ModelConfig, on_gpu: bool) -> list[Any]:
    there = config.optimization.execution_accelerators
    return list(there.gpu_execution_accelerator if on_gpu else there.cpu_execution_accelerator)


def _read_precision(config: ModelConfig, provider: Provider | None) -> str:
    if provider is None or not provider.precision:
        return ""
    value = _read_option(config, provider) if provider.accelerator else _read_parameter(config, provider.precision)
    return next((word for word, written in provider.precisions.items() if written == value), "")


def _read_option(config: ModelConfig, provider: Provider) -> str:
    for one in _accelerators(config, provider.on_gpu):
        if one.name == provider.accelerator:
            return str(one.parameters.get(provider.precision, ""))
    return ""


def _read_parameter(config: ModelConfig, key: str) -> str:
    return str(config.parameters[key].string_value) if key and key in config.parameters else ""


def _read_number(config: ModelConfig, key: str) -> int:
    text = _read_parameter(config, key)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _write_parameter(config: ModelConfig, key: str, value: str) -> None:
    if value and key:
        config.parameters[key].string_value = value
    elif key in config.parameters:
        del config.parameters[key]


def _write_option(config: ModelConfig, provider: Provider, key: str, value: str) -> None:
    for one in _accelerators(config, provider.on_gpu):
        if one.name == provider.accelerator:
            if value:
                one.parameters[key] = value
            elif key in one.parameters:
                del one.parameters[key]


def reads_file(kind: BackendKind, suffix: str) -> bool:
    """Whether an engine runs model files that end so."""
    return bool(suffix) and suffix in (*kind.suffixes, *kind.source.reads)
