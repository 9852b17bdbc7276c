"""`ModelConfig`: what `auto_complete_config` is given and may add to."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from typing import Any

from .datatypes import TRITON_STRING_TO_NUMPY

Properties = dict[str, Any]

_DATA_TYPES = (*TRITON_STRING_TO_NUMPY, "TYPE_BF16")
_OTHER_SCHEDULERS = ("sequence_batching", "ensemble_scheduling")


class ModelConfig:
    """A model's configuration.

    Args:
        model_config: as JSON text or as parsed from it.
    """

    def __init__(self, model_config: str | Properties) -> None:
        self._config: Properties = json.loads(model_config) if isinstance(model_config, str) else model_config

    def as_dict(self) -> Properties:
        """The whole of it; of what is changed here, the server takes what the methods below can change."""
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Set it, or raise what is configured.

        Raises:
            ValueError: more is configured.
        """
        configured = self._config.get("max_batch_size", 0)
        if configured > max_batch_size:
            raise ValueError(
                f"{self._here} specifies max_batch_size {max_batch_size}, but the configuration has {configured}"
            )
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Batch dynamically, with the defaults, unless that is configured already.

        Raises:
            ValueError: another scheduler is configured.
        """
        for scheduler in _OTHER_SCHEDULERS:
            if scheduler in self._config:
                raise ValueError(
                    f"{self._here} sets scheduling_choice to 'dynamic_batching', but the configuration has '{scheduler}'"
                )
        self._config.setdefault("dynamic_batching", {})

    def add_input(self, input: Properties) -> None:  # noqa: A002  (Triton's name)
        """Add an input, or complete the one of its name.

        Args:
            input: `name`, `data_type` (`TYPE_FP32`), `dims` and, if it is so, `optional`.

        Raises:
            ValueError: another property, one is missing, or the configuration says otherwise.
        """
        self._add("input", input, ("name", "data_type", "dims", "optional"))

    def add_output(self, output: Properties) -> None:
        """Add an output, or complete the one of its name.

        Args:
            output: `name`, `data_type` (`TYPE_FP32`) and `dims`.

        Raises:
            ValueError: another property, one is missing, or the configuration says otherwise.
        """
        self._add("output", output, ("name", "data_type", "dims"))

    def set_model_transaction_policy(self, transaction_policy_dict: Properties) -> None:
        """Say whether the model answers a request with any number of responses.

        Args:
            transaction_policy_dict: `decoupled`.

        Raises:
            ValueError: another property, or the configuration says otherwise.
        """
        _check_known("model_transaction_policy", transaction_policy_dict, ("decoupled",), self._here)
        policy = self._config.setdefault("model_transaction_policy", {})
        if "decoupled" not in transaction_policy_dict:
            return
        decoupled = transaction_policy_dict["decoupled"]
        if policy.get("decoupled", decoupled) != decoupled:
            raise ValueError(
                f"{self._here} sets decoupled to {decoupled}, but the configuration has {policy['decoupled']}"
            )
        policy["decoupled"] = decoupled

    @property
    def _here(self) -> str:
        return f"auto_complete_config of model '{self._config.get('name', '')}'"

    def _add(self, kind: str, properties: Properties, known: Sequence[str]) -> None:
        what = f"{kind} '{properties['name']}'" if "name" in properties else kind
        _check_known(what, properties, known, self._here)
        for needed in ("name", "data_type", "dims"):
            if needed not in properties:
                raise ValueError(f"{self._here}: {what} is missing the property '{needed}'")
        properties = {**properties, "dims": self._checked_dims(what, properties["dims"])}
        if properties["data_type"] not in _DATA_TYPES:
            raise ValueError(
                f"{self._here}: {what} has data_type {properties['data_type']!r}, expected one of {', '.join(_DATA_TYPES)}"
            )
        entries = self._config.setdefault(kind, [])
        for entry in entries:
            if entry["name"] == properties["name"]:
                self._merge(what, entry, properties)
                return
        entries.append(properties)

    def _checked_dims(self, what: str, dims: Any) -> list[int]:
        try:
            return [operator.index(dim) for dim in dims]
        except TypeError:
            raise ValueError(
                f"{self._here}: {what} has dims {dims!r}, expected a list of int such as [-1, 4]"
            ) from None

    def _merge(self, what: str, entry: Properties, properties: Properties) -> None:
        for key, value in properties.items():
            if _is_given(key, entry) and not _is_same(entry[key], value):
                raise ValueError(f"{self._here}: {what} has {key} {value}, but the configuration has {entry[key]}")
        entry.update(properties)


def _check_known(what: str, properties: Properties, known: Sequence[str], here: str) -> None:
    for key in properties:
        if key not in known:
            names = ", ".join(f"'{name}'" for name in known)
            raise ValueError(f"{here}: {what} contains the property '{key}', expected none other than {names}")


def _is_given(key: str, entry: Properties) -> bool:
    if key == "data_type":
        return bool(entry.get(key, "TYPE_INVALID") != "TYPE_INVALID")
    return bool(entry.get(key)) if key == "dims" else key in entry


def _is_same(configured: Any, value: Any) -> bool:
    if isinstance(configured, list):  # as text where protobuf wrote the JSON
        configured = [int(dim) for dim in configured]
    return bool(configured == value)
