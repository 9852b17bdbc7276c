"""What can be chosen about models that are loaded on demand."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OnDemandOptions:
    """How models come and go by themselves; for the control mode `on-demand` only.

    Attributes:
        memory_budget: bytes that loaded models may take together; None for no limit.
        idle_unload_secs: after which a model that is not used is unloaded; 0 for never.
        pin_models: models that are loaded at the start and stay, until a request unloads them.
        load_wait_secs: how long a request waits for its model to be loaded.
        load_wait_requests: requests that may wait for models to be loaded.
    """

    memory_budget: int | None = None
    idle_unload_secs: float = 0
    pin_models: tuple[str, ...] = ()
    load_wait_secs: float = 120
    load_wait_requests: int = 1024
