"""Which scheduler a model gets. What few models need is imported when one does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import AnsweringInstance, Instance
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.answering import AnsweringExecutor, AnyExecutor
from tcli_server.scheduling.batcher import Batcher
from tcli_server.scheduling.batching import BatchRules, batch_rules
from tcli_server.scheduling.execution import Executor
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.scheduling.ordering import InOrder
from tcli_server.scheduling.policy import Levels, read_levels
from tcli_server.scheduling.ragged import RaggedExecutor
from tcli_server.spec import ModelSpec

if TYPE_CHECKING:
    from tcli_server.scheduling.ensembles.member import Member


def scheduler_for(
    config: ModelConfig,
    spec: ModelSpec,
    instances: Sequence[PlacedInstance],
    statistics: InferenceStatistics,
    folder: Path,
    find: "Callable[[str, str], Member]",
    limiter: RateLimiter | None = None,
) -> Scheduler:
    """The scheduler that a valid configuration asks for, running on these instances.

    Args:
        folder: has the files of initial states.
        find: the model that answers for a name and a version, for the steps of an ensemble; raises ServerError.
        limiter: gives instances the permission to run; None where they always may.

    Raises:
        InvalidArgumentError: the instances need more of a resource than there is; they are closed then.
        UnavailableError: the machine gives no more threads; the instances are closed then.
    """
    if config.HasField("ensemble_scheduling"):
        from tcli_server.scheduling.ensembles.graph import Graph
        from tcli_server.scheduling.ensembles.scheduler import EnsembleScheduler

        ensemble = config.ensemble_scheduling
        return EnsembleScheduler(Graph(ensemble), spec, statistics, find, ensemble.max_inflight_requests)
    if config.HasField("sequence_batching"):
        from tcli_server.scheduling.sequences.configured import sequence_batcher

        def stateful(placed: PlacedInstance, states: Sequence[str]) -> AnyExecutor:
            return executor_for(spec, placed.instance, statistics, states)

        return sequence_batcher(config, spec.name, instances, folder, limiter, stateful)

    def executor(placed: PlacedInstance) -> AnyExecutor:
        limited = limiter is not None and bool(placed.placement.resources)
        alone = not config.HasField("dynamic_batching")
        return executor_for(spec, placed.instance, statistics, alone=alone, limited=limited)

    rules, levels, order = BatchRules(), Levels(), None
    if config.HasField("dynamic_batching"):
        batching = config.dynamic_batching
        rules = batch_rules(config.max_batch_size, batching.preferred_batch_size, batching.max_queue_delay_microseconds)
        levels = read_levels(batching)
        order = InOrder() if batching.preserve_ordering else None
    if limiter is None:
        return Batcher(rules, levels, instances, executor, order)
    from tcli_server.scheduling.limits.batcher import LimitedBatcher
    from tcli_server.scheduling.limits.permits import Permits

    return LimitedBatcher(Permits(limiter, spec.name), rules, levels, instances, executor, order)


def executor_for(
    spec: ModelSpec,
    instance: Instance,
    statistics: InferenceStatistics,
    states: Sequence[str] = (),
    alone: bool = False,
    limited: bool = False,
) -> AnyExecutor:
    """What runs the batches of an instance; arguments as those of `Executor`.

    Args:
        alone: see `AnsweringExecutor`.
        limited: it may have to wait for resources.
    """
    if isinstance(instance, AnsweringInstance):
        return AnsweringExecutor(spec, instance, statistics, states, alone, limited)
    kind = RaggedExecutor if spec.ragged else Executor
    return kind(spec, instance, statistics, states, limited)
