"""The sequence batcher that a configuration asks for."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.answering import AnyExecutor
from tcli_server.scheduling.batching import batch_rules
from tcli_server.scheduling.limits.permits import Permits
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.scheduling.limits.sequences import LimitedSequenceBatcher
from tcli_server.scheduling.sequences.batcher import SequenceBatcher
from tcli_server.scheduling.sequences.controls import Controls
from tcli_server.scheduling.sequences.forming import Direct, Oldest, Strategy
from tcli_server.scheduling.sequences.iterations import Iterations
from tcli_server.scheduling.sequences.states import States


def sequence_batcher(
    config: ModelConfig,
    name: str,
    instances: Sequence[PlacedInstance],
    folder: Path,
    limiter: RateLimiter | None,
    executor: Callable[[PlacedInstance, Sequence[str]], AnyExecutor],
) -> Scheduler:
    """Of a valid configuration with `sequence_batching`; other arguments and errors as of `scheduler_for`.

    Args:
        name: the model's.
        executor: runs the batches of an instance; told the names of the state outputs.
    """
    sequences = config.sequence_batching
    batches = config.max_batch_size > 0
    states = States(sequences, folder, batches)
    size = max(1, config.max_batch_size)
    strategy: Strategy
    if sequences.HasField("oldest"):
        oldest = sequences.oldest
        size = oldest.max_candidate_sequences if oldest.max_candidate_sequences > 0 else size
        strategy = Oldest(
            batch_rules(config.max_batch_size, oldest.preferred_batch_size, oldest.max_queue_delay_microseconds)
        )
    else:
        direct = sequences.direct
        delay_ns = direct.max_queue_delay_microseconds * 1000
        strategy = Direct(size, direct.minimum_slot_utilization, delay_ns)
    controls = Controls(sequences, name, (1, 1) if batches else (1,))
    idle_ns = sequences.max_sequence_idle_microseconds * 1000
    texts = isinstance(controls.any_id, str)
    scheduler = SequenceBatcher if limiter is None else partial(LimitedSequenceBatcher, Permits(limiter, name))
    return scheduler(
        name,
        size,
        idle_ns,
        strategy,
        controls,
        states,
        instances,
        lambda placed: executor(placed, states.outputs),
        Iterations(name, texts, idle_ns) if sequences.iterative_sequence else None,
    )
