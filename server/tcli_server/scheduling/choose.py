"""Which scheduler a model gets."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import AnsweringInstance, Instance
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.answering import AnsweringExecutor, AnyExecutor
from tcli_server.scheduling.batcher import Batcher
from tcli_server.scheduling.batching import BatchRules
from tcli_server.scheduling.ensembles.graph import Graph
from tcli_server.scheduling.ensembles.member import Member
from tcli_server.scheduling.ensembles.scheduler import EnsembleScheduler
from tcli_server.scheduling.execution import Executor
from tcli_server.scheduling.limits.batcher import LimitedBatcher
from tcli_server.scheduling.limits.permits import Permits
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.scheduling.limits.sequences import LimitedSequenceBatcher
from tcli_server.scheduling.ordering import InOrder
from tcli_server.scheduling.policy import Levels, read_levels
from tcli_server.scheduling.ragged import RaggedExecutor
from tcli_server.scheduling.sequences.batcher import SequenceBatcher
from tcli_server.scheduling.sequences.controls import Controls
from tcli_server.scheduling.sequences.forming import Direct, Oldest, Strategy
from tcli_server.scheduling.sequences.iterations import Iterations
from tcli_server.scheduling.sequences.states import States
from tcli_server.spec import ModelSpec


def scheduler_for(
    config: ModelConfig,
    spec: ModelSpec,
    instances: Sequence[PlacedInstance],
    statistics: InferenceStatistics,
    folder: Path,
    find: Callable[[str, str], Member],
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
        ensemble = config.ensemble_scheduling
        return EnsembleScheduler(Graph(ensemble), spec, statistics, find, ensemble.max_inflight_requests)
    if config.HasField("sequence_batching"):
        return _sequence_batcher(config, spec, instances, statistics, folder, limiter)

    def executor(placed: PlacedInstance) -> AnyExecutor:
        limited = limiter is not None and bool(placed.placement.resources)
        alone = not config.HasField("dynamic_batching")
        return executor_for(spec, placed.instance, statistics, alone=alone, limited=limited)

    rules, levels, order = BatchRules(), Levels(), None
    if config.HasField("dynamic_batching"):
        batching = config.dynamic_batching
        rules = _rules(config, batching.preferred_batch_size, batching.max_queue_delay_microseconds)
        levels = read_levels(batching)
        order = InOrder() if batching.preserve_ordering else None
    if limiter is None:
        return Batcher(rules, levels, instances, executor, order)
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


def _rules(config: ModelConfig, preferred: Sequence[int], max_delay_us: int) -> BatchRules:
    limit = max(1, config.max_batch_size)
    return BatchRules(limit, frozenset(preferred) or frozenset((limit,)), max_delay_us * 1000)


def _sequence_batcher(
    config: ModelConfig,
    spec: ModelSpec,
    instances: Sequence[PlacedInstance],
    statistics: InferenceStatistics,
    folder: Path,
    limiter: RateLimiter | None,
) -> Scheduler:
    sequences = config.sequence_batching
    batches = config.max_batch_size > 0
    states = States(sequences, folder, batches)
    size = max(1, config.max_batch_size)
    strategy: Strategy
    if sequences.HasField("oldest"):
        oldest = sequences.oldest
        size = oldest.max_candidate_sequences if oldest.max_candidate_sequences > 0 else size
        strategy = Oldest(_rules(config, oldest.preferred_batch_size, oldest.max_queue_delay_microseconds))
    else:
        direct = sequences.direct
        delay_ns = direct.max_queue_delay_microseconds * 1000
        strategy = Direct(size, direct.minimum_slot_utilization, delay_ns)
    controls = Controls(sequences, spec.name, (1, 1) if batches else (1,))
    idle_ns = sequences.max_sequence_idle_microseconds * 1000
    texts = isinstance(controls.any_id, str)
    scheduler = SequenceBatcher if limiter is None else partial(LimitedSequenceBatcher, Permits(limiter, spec.name))
    return scheduler(
        spec.name,
        size,
        idle_ns,
        strategy,
        controls,
        states,
        instances,
        lambda placed: executor_for(spec, placed.instance, statistics, states.outputs),
        Iterations(spec.name, texts, idle_ns) if sequences.iterative_sequence else None,
    )
