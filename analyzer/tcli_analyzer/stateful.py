"""What a configuration with `sequence_batching` says about how it can be measured and varied."""

from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import instance_count


@dataclass(frozen=True, slots=True)
class Stateful:
    """A model that keeps state between the requests of a sequence.

    Attributes:
        slots: sequences that are served at once, all instances together; more wait until one of these ends.
        fixed_batches: why no other `max_batch_size` is tried; empty where others may be.
    """

    slots: int
    fixed_batches: str = ""

    def note(self, concurrency: int) -> str:
        """What a reader of a measurement with so many callers must know; empty where that is nothing."""
        if concurrency <= self.slots:
            return ""
        return (
            f"{self.slots} sequence{'s are' if self.slots > 1 else ' is'} served at once: with {concurrency} callers the first "
            "request of a sequence waits until another sequence ends"
        )


def stateful(config: ModelConfig) -> Stateful | None:
    """What there is to know of a model with state; None of one without.

    Args:
        config: complete.
    """
    if not config.HasField("sequence_batching"):
        return None
    batching, instances = config.sequence_batching, instance_count(config)
    if not config.max_batch_size:
        return Stateful(_candidates(config) * instances, "the model takes no batches (max_batch_size: 0)")
    if batching.HasField("oldest"):
        return Stateful(_candidates(config) * instances)
    slots = config.max_batch_size * instances
    if batching.state:
        return Stateful(slots)
    return Stateful(
        slots,
        "sequence_batching by the direct strategy gives each sequence a place in the batch, and the model may keep state for just "
        "so many",
    )


def _candidates(config: ModelConfig) -> int:
    """Of an instance: sequences that the oldest strategy takes requests from."""
    return max(1, int(config.sequence_batching.oldest.max_candidate_sequences))
