"""What of a configuration decides how long executions take, and what how requests wait."""

from collections.abc import Sequence

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.prediction.simulator import Setup
from tcli_server.scheduling.batching import BatchRules


def setup_of(configuration: Configuration, items: int = 1) -> Setup:
    """How requests of so many items each wait, as the simulator has it, which counts in requests."""
    config = configuration.config
    shares = all(group.kind != ModelInstanceGroup.KIND_GPU for group in config.instance_group)
    if not config.HasField("dynamic_batching"):
        return Setup(configuration.instances, shares=shares)
    limit = max(1, configuration.max_batch_size // items)
    batching = config.dynamic_batching
    preferred = {size // items for size in batching.preferred_batch_size if size % items == 0}
    sizes = frozenset(size for size in preferred if 1 <= size <= limit) or frozenset((limit,))
    rules = BatchRules(limit, sizes, batching.max_queue_delay_microseconds * 1000)
    return Setup(configuration.instances, rules, shares)


def group_key(configuration: Configuration) -> bytes:
    """Equal for configurations whose executions take equally long: they differ in the batcher's settings at most."""
    config = ModelConfig()
    config.CopyFrom(configuration.config)
    config.max_batch_size = min(1, config.max_batch_size)
    config.ClearField("dynamic_batching")
    for group in config.instance_group:
        group.count = group.count or 1
        group.name = ""
    serialized: bytes = config.SerializeToString(deterministic=True)
    return bytes([configuration.rewritten_model]) + serialized


def carrier(members: Sequence[Configuration]) -> Configuration:
    """A configuration of a group that runs every batch size of it at once: its largest, without a delay."""
    largest = max(members, key=lambda one: (one.max_batch_size, one.current))
    if not largest.config.dynamic_batching.max_queue_delay_microseconds:
        return largest
    config = ModelConfig()
    config.CopyFrom(largest.config)
    config.dynamic_batching.ClearField("max_queue_delay_microseconds")
    label = f"{largest.label}, without delay"
    return Configuration(
        label, largest.max_batch_size, largest.instances, config, rewritten_model=largest.rewritten_model
    )
