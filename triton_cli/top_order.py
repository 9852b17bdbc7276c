"""In which order models are shown."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcli_client.watch import ModelActivity


class Order(StrEnum):
    """By name, or most first."""

    NAME = "name"
    RATE = "rate"
    ERRORS = "errors"
    WAIT = "wait"
    PENDING = "pending"
    LATENCY = "latency"
    BATCH = "batch"


def key_of(order: Order) -> str:
    """The key that chooses it: its first letter."""
    return order.value[0]


def ordered(models: "Iterable[ModelActivity]", order: Order) -> "list[ModelActivity]":
    """Sorted; what is equal stays in the order of names."""
    if order is Order.NAME:
        return list(models)
    return sorted(models, key=lambda model: -_weight(model, order))


def _weight(model: "ModelActivity", order: Order) -> float:
    weights = {
        Order.RATE: model.requests_per_second,
        Order.ERRORS: model.errors_per_second,
        Order.WAIT: model.queue_ms,
        Order.PENDING: model.pending,
        Order.LATENCY: model.latency_ms,
        Order.BATCH: model.batch,
    }
    value = weights[order]
    return -1.0 if value is None else value
