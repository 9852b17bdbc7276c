"""Which scheduler a model gets."""

from collections.abc import Sequence

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.batcher import Batcher
from tcli_server.scheduling.batching import BatchRules
from tcli_server.scheduling.execution import Executor
from tcli_server.scheduling.ordering import InOrder
from tcli_server.scheduling.policy import Levels, read_levels
from tcli_server.spec import ModelSpec


def scheduler_for(
    config: ModelConfig, spec: ModelSpec, instances: Sequence[PlacedInstance], statistics: InferenceStatistics
) -> Scheduler:
    """The scheduler that a valid configuration asks for, running on these instances.

    Raises:
        UnavailableError: the machine gives no more threads; the instances are closed then.
    """

    def executor(placed: PlacedInstance) -> Executor:
        return Executor(spec, placed.instance, statistics)

    if not config.HasField("dynamic_batching"):
        return Batcher(BatchRules(), Levels(), instances, executor)
    batching = config.dynamic_batching
    limit = max(1, config.max_batch_size)
    preferred = frozenset(batching.preferred_batch_size) or frozenset((limit,))
    rules = BatchRules(limit, preferred, batching.max_queue_delay_microseconds * 1000)
    order = InOrder() if batching.preserve_ordering else None
    return Batcher(rules, read_levels(batching), instances, executor, order)
