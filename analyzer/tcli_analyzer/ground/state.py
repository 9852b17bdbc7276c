"""What a model that keeps state leaves of a space, and what a reader must know of it."""

from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.space import Space
from tcli_analyzer.stateful import stateful


def with_state(space: Space, config: ModelConfig) -> tuple[Space, tuple[str, ...]]:
    """The space as far as the model allows it, and notes for people; a model without state allows all of it.

    Args:
        config: the model's, complete.
    """
    state = stateful(config)
    if state is None:
        return space, ()
    fixed = ""
    if state.fixed_batches:
        space = replace(space, max_batch_sizes=(config.max_batch_size,))
        fixed = f"max_batch_size is not varied: {state.fixed_batches}"
    return space, tuple(filter(None, (fixed, state.note(max(space.concurrency, default=1)))))
