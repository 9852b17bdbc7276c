"""The configurations that a sweep tries: variations of the model's own `config.pbtxt`."""

from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelInstanceGroup, ModelOutput


@dataclass(frozen=True, eq=False)
class Configuration:
    """One model configuration to measure.

    Attributes:
        label: how tables and plots call it.
        max_batch_size: 0 = the model takes no batch dimension.
        instances: execution instances of the model, all groups together.
        config: what is loaded, and written if this one is recommended.
        current: True for the model's own, unchanged configuration.
        rewritten_model: True if it needs the model file whose batch dimension was made variable.
        wrong_batches: True if the batches that it forms were found to give other answers than their items alone.
        name: as Model Analyzer names it: `<model>_config_default` for the model's own, `<model>_config_<i>` for others.
        changes_numbers: True if its answers can differ from those of the model's own configuration: another engine, precision or
            graph, or batches.
    """

    label: str
    max_batch_size: int
    instances: int
    config: ModelConfig
    current: bool = False
    rewritten_model: bool = False
    wrong_batches: bool = False
    name: str = ""
    changes_numbers: bool = False


def label_of(max_batch_size: int, instances: int) -> str:
    """The name of a grid configuration, such as "batch 4, 2 instances"."""
    batch = f"batch {max_batch_size}" if max_batch_size else "no batching"
    return f"{batch}, {instances} instance{'s' if instances != 1 else ''}"


def instance_count(config: ModelConfig) -> int:
    """The instances of all groups together; a KIND_GPU group runs its count on each of its GPUs."""
    return sum(group.count or 1 for group in config.instance_group) or 1


def fill_gaps(written: ModelConfig, complete: ModelConfig) -> ModelConfig:
    """The configuration as its owner wrote it, plus what the server had to complete to load it.

    The result loads the same way and says explicitly what a variation builds on: tensors, platform, kind of device.
    """
    config = ModelConfig()
    config.CopyFrom(written)
    config.name = complete.name
    if not config.platform and not config.backend:
        config.platform, config.backend = complete.platform, complete.backend
    config.max_batch_size = complete.max_batch_size
    for field in ("input", "output", "instance_group"):
        if not getattr(config, field):
            getattr(config, field).extend(getattr(complete, field))
    for group, normalised in zip(config.instance_group, complete.instance_group, strict=False):
        group.name = group.name if group.name in {g.name for g in written.instance_group} else ""
        group.kind = normalised.kind
    if not written.HasField("dynamic_batching") and complete.HasField("dynamic_batching"):
        config.dynamic_batching.SetInParent()
    return config


def vary(base: ModelConfig, max_batch_size: int, instances: int) -> ModelConfig:
    """`base` with another maximum batch size and instance count.

    Batching of 2 and more gets the dynamic batcher, unless sequences have a batcher of their own. A batcher that `base` already sets up keeps its settings, except
    preferred sizes above the new maximum. The count applies to each instance group.
    """
    config = ModelConfig()
    config.CopyFrom(base)
    config.max_batch_size = max_batch_size
    if max_batch_size > 1 and not config.HasField("sequence_batching"):
        config.dynamic_batching.SetInParent()
    elif not max_batch_size:
        config.ClearField("dynamic_batching")
    if config.HasField("dynamic_batching"):
        preferred = [size for size in base.dynamic_batching.preferred_batch_size if size <= max_batch_size]
        del config.dynamic_batching.preferred_batch_size[:]
        config.dynamic_batching.preferred_batch_size.extend(preferred)
    if not config.instance_group:
        config.instance_group.add()
    for group in config.instance_group:
        group.count = instances
    return config


def with_defaults(config: ModelConfig) -> ModelConfig:
    """What serves if only what must be said is said: one instance, no batcher, no optimization."""
    plain = ModelConfig()
    plain.CopyFrom(config)
    for field in ("instance_group", "dynamic_batching", "optimization"):
        plain.ClearField(field)
    return plain


def same_behaviour(one: ModelConfig, other: ModelConfig) -> bool:
    """Whether two configurations on the same base run the same way, whatever they are called."""
    return behaviour_of(one) == behaviour_of(other)


def behaviour_of(config: ModelConfig) -> bytes:
    """What two configurations that run the same way share.

    Names do not matter, nor how instances are spread over equal groups, nor a batcher where there is nothing to batch.
    """
    plain = ModelConfig()
    plain.CopyFrom(config)
    plain.ClearField("name")
    if plain.max_batch_size <= 1:
        plain.ClearField("dynamic_batching")
    counts: dict[bytes, int] = {}
    for group in plain.instance_group or [ModelInstanceGroup()]:
        count = group.count or 1
        group.ClearField("name")
        group.ClearField("count")
        key = group.SerializeToString(deterministic=True)
        counts[key] = counts.get(key, 0) + count
    del plain.instance_group[:]
    for key, count in sorted(counts.items()):
        plain.instance_group.add().MergeFromString(key)
        plain.instance_group[-1].count = count
    return bytes(plain.SerializeToString(deterministic=True))


def waits_to_batch(config: ModelConfig) -> bool:
    """Whether the batcher may hold requests back to grow a batch, so that its limits matter below them, too."""
    return bool(config.dynamic_batching.max_queue_delay_microseconds)


def has_one_item_shapes(config: ModelConfig) -> bool:
    """Whether every tensor's full shape (after `reshape`) starts with a dimension of 1 or -1.

    Only then can the first dimension of a model with `max_batch_size: 0` be its batch dimension.
    """
    return all(_graph_shape(t)[:1] in ([1], [-1]) for t in (*config.input, *config.output))


def split_batch_dimension(config: ModelConfig) -> ModelConfig:
    """A configuration with `max_batch_size: 0` rewritten so that the first dimension of every tensor becomes implicit.

    `dims: [3, 224, 224] reshape: [1, 3, 224, 224]` becomes `dims: [3, 224, 224]`, and
    `dims: [1000] reshape: [1, 1000, 1, 1]` becomes `dims: [1000] reshape: [1000, 1, 1]`.
    `max_batch_size` stays 0: `vary` sets it. A `format` goes where the number of dims changes: it is of three.
    """
    result = ModelConfig()
    result.CopyFrom(config)
    for tensor in (*result.input, *result.output):
        dims = list(tensor.dims)
        graph = _graph_shape(tensor)[1:]
        if (not tensor.HasField("reshape") or len(dims) > 1) and dims[:1] in ([1], [-1]):
            dims = dims[1:]
        tensor.ClearField("reshape")
        if not dims:
            dims = [1]
        if isinstance(tensor, ModelInput) and len(dims) != len(tensor.dims):
            tensor.ClearField("format")  # NCHW and NHWC are of three dimensions
        del tensor.dims[:]
        tensor.dims.extend(dims)
        if dims != graph:
            tensor.reshape.SetInParent()
            tensor.reshape.shape.extend(graph)
    return result


def _graph_shape(tensor: ModelInput | ModelOutput) -> list[int]:
    return list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)


def request_shapes(config: ModelConfig) -> str:
    """Each input and its shape as a client sends it, such as "data_0 [n, 3, 224, 224]"."""
    batch = ["n"] if config.max_batch_size else []
    return ", ".join(f"{t.name} [{', '.join([*batch, *map(str, t.dims)])}]" for t in config.input)
