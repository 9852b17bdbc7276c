"""Which scheduler a model gets."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import AnsweringInstance, Instance
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.answering import AnsweringExecutor
from tcli_server.scheduling.batcher import Batcher
from tcli_server.scheduling.batching import BatchRules
from tcli_server.scheduling.ensembles.graph import Graph
from tcli_server.scheduling.ensembles.member import Member
from tcli_server.scheduling.ensembles.scheduler import EnsembleScheduler
from tcli_server.scheduling.execution import Executor
from tcli_server.scheduling.ordering import InOrder
from tcli_server.scheduling.policy import Levels, read_levels
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
) -> Scheduler:
    """The scheduler that a valid configuration asks for, running on these instances.

    Args:
        folder: has the files of initial states.
        find: the model that answers for a name and a version, for the steps of an ensemble; raises ServerError.

    Raises:
        UnavailableError: the machine gives no more threads; the instances are closed then.
    """
    if config.HasField("ensemble_scheduling"):
        ensemble = config.ensemble_scheduling
        return EnsembleScheduler(Graph(ensemble), spec, statistics, find, ensemble.max_inflight_requests)
    if config.HasField("sequence_batching"):
        return _sequence_batcher(config, spec, instances, statistics, folder)

    def executor(placed: PlacedInstance) -> Executor | AnsweringExecutor:
        return executor_for(spec, placed.instance, statistics, alone=not config.HasField("dynamic_batching"))

    if not config.HasField("dynamic_batching"):
        return Batcher(BatchRules(), Levels(), instances, executor)
    batching = config.dynamic_batching
    rules = _rules(config, batching.preferred_batch_size, batching.max_queue_delay_microseconds)
    order = InOrder() if batching.preserve_ordering else None
    return Batcher(rules, read_levels(batching), instances, executor, order)


def executor_for(
    spec: ModelSpec,
    instance: Instance,
    statistics: InferenceStatistics,
    states: Sequence[str] = (),
    alone: bool = False,
) -> Executor | AnsweringExecutor:
    """What runs the batches of an instance; arguments as those of `Executor`."""
    if isinstance(instance, AnsweringInstance):
        return AnsweringExecutor(spec, instance, statistics, states, alone)
    return Executor(spec, instance, statistics, states)


def _rules(config: ModelConfig, preferred: Sequence[int], max_delay_us: int) -> BatchRules:
    limit = max(1, config.max_batch_size)
    return BatchRules(limit, frozenset(preferred) or frozenset((limit,)), max_delay_us * 1000)


def _sequence_batcher(
    config: ModelConfig,
    spec: ModelSpec,
    instances: Sequence[PlacedInstance],
    statistics: InferenceStatistics,
    folder: Path,
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
    return SequenceBatcher(
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
