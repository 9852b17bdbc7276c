"""What `auto_complete_config` gets."""

from __future__ import annotations

from typing import Any


class ModelConfig:
    """A configuration that a model completes."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def as_dict(self) -> dict[str, Any]:
        return self._config

    def add_input(self, entry: dict[str, Any]) -> None:
        self._config.setdefault("input", []).append(entry)

    def add_output(self, entry: dict[str, Any]) -> None:
        self._config.setdefault("output", []).append(entry)

    def set_max_batch_size(self, size: int) -> None:
        self._config["max_batch_size"] = size

    def set_dynamic_batching(self) -> None:
        self._config["dynamic_batching"] = {}

    def set_model_transaction_policy(self, policy: dict[str, Any]) -> None:
        self._config["model_transaction_policy"] = policy
