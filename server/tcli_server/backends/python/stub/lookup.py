"""Finding tensors by their names, and what a parsed configuration says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from .tensor import Tensor


class _Request(Protocol):
    def inputs(self) -> list[Tensor]: ...


class _Response(Protocol):
    def output_tensors(self) -> list[Tensor]: ...


def get_input_tensor_by_name(inference_request: _Request, name: str) -> Tensor | None:
    """That input of a request; None if it has none of the name, as where an optional input was left out."""
    return _tensor(inference_request.inputs(), name)


def get_output_tensor_by_name(inference_response: _Response, name: str) -> Tensor | None:
    """That output of another model's response; None if it has none of the name."""
    return _tensor(inference_response.output_tensors(), name)


def _tensor(tensors: Iterable[Tensor], name: str) -> Tensor | None:
    for tensor in tensors:
        if tensor.name() == name:
            return tensor
    return None


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The entry of that input in a parsed configuration; None if there is none."""
    return _entry(model_config.get("input", ()), name)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The entry of that output in a parsed configuration; None if there is none."""
    return _entry(model_config.get("output", ()), name)


def _entry(entries: Iterable[dict[str, Any]], name: str) -> dict[str, Any] | None:
    for entry in entries:
        if entry["name"] == name:
            return entry
    return None


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    """Whether a parsed configuration lets the model answer a request with any number of responses."""
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))
