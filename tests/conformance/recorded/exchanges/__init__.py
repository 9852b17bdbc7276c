"""All exchanges, by topic and in their order: later ones of a topic may see what earlier ones did."""

from conformance.recorded.exchanges import (
    calls,
    decoupled,
    ensembles,
    errors,
    loading,
    metering,
    probes,
    sequences,
    shared_memory,
    tensors,
    told,
)
from conformance.recorded.kinds import Exchange

TOPICS: dict[str, list[Exchange]] = {
    module.__name__.rpartition(".")[2]: module.EXCHANGES
    for module in (
        tensors,
        told,
        errors,
        probes,
        decoupled,
        calls,
        sequences,
        ensembles,
        metering,
        shared_memory,
        loading,
    )
}

MODELS = (
    "identity", "add_sub", "auto", "auto_decoupled", "echo", "errors", "probe", "repeat", "async_repeat", "bls", "async_bls",
    "metering", "histogram", "sequence_direct", "sequence_oldest", "iterative", "iterative_decoupled", "pipeline", "nested",
    "failing", "failing_nested", "told", "stream", "in_sequence",
)  # fmt: skip
"""The models that must be loaded before; ensembles after what they are made of."""
