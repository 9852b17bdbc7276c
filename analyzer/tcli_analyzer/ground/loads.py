"""The loads of a space, as they suit the model."""

from dataclasses import replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.load import ClosedLoad, Load, OpenLoad, Sequences
from tcli_analyzer.load.sequences import sequences_of
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.space import Space


def loads_of(space: Space, config: ModelConfig, options: AnalysisOptions) -> dict[int, tuple[Load, ...]]:
    """By the items of a request: for a model with state in sequences, and by the arrivals that the user wants.

    Args:
        config: the model's, complete.
    """
    sequences = sequences_of(config, Sequences(seed=options.seed))
    found: dict[int, list[Load]] = {}
    for items, load in space.loads:
        way: Load = replace(load, sequences=sequences)
        if isinstance(way, OpenLoad):
            way = replace(way, distribution=options.distribution, seed=options.seed, gaps_seconds=options.gaps_seconds)
        found.setdefault(items, []).append(way)
    return {items: tuple(ways) for items, ways in found.items()} or {1: (ClosedLoad(1, sequences),)}
