"""What is sent: where requests come from, and random ones shaped by a model's configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput

from tcli_server.backends.registry import backend, is_installed, kind_of
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.random_tensor import random_tensor

Inputs = dict[str, np.ndarray]

DIFFERENT_REQUESTS = 8


class Requests(list[Inputs]):
    """Requests to send in turn.

    Attributes:
        lengths: of the recorded sequences that they are, one after the other; empty where they are no sequences.
    """

    lengths: tuple[int, ...] = ()


class Source(Protocol):
    """Where requests come from. Can be pickled: they are made in the process that sends them."""

    def make(self, config: ModelConfig, items: int) -> list[Inputs]:
        """Requests to send in turn, as a client of this configuration makes them.

        Args:
            config: complete configuration; with `max_batch_size` > 0 every tensor gets a leading dimension of `items`.
            items: inferences in each; 1 for a model that takes no batches.
        """


@dataclass(frozen=True)
class RandomSource:
    """Random values.

    Attributes:
        shapes: of each input, without the batch dimension; leading dimensions that a configuration has no more are left out.
        count: how many different requests.
    """

    shapes: Mapping[str, tuple[int, ...]]
    count: int = DIFFERENT_REQUESTS
    seed: int = 0

    def make(self, config: ModelConfig, items: int) -> list[Inputs]:
        shapes = {tensor.name: self.shapes[tensor.name][-len(tensor.dims) :] for tensor in config.input}
        return random_requests(config, shapes, self.count, self.seed, items)


class UnknownInputError(Exception):
    """A shape was given for an input that the model does not have, or of another rank."""


def resolve_shapes(
    config: ModelConfig, given: Mapping[str, Sequence[int]]
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """The shape of each input without the batch dimension, and the inputs whose -1 dimensions were taken as 1.

    Args:
        config: complete configuration.
        given: shapes by input name, without the batch dimension, all dimensions positive.

    Raises:
        UnknownInputError: `given` names no input of the model, or does not fit its `dims`.
    """
    dims = {tensor.name: list(tensor.dims) for tensor in config.input}
    for name, shape in given.items():
        if name not in dims:
            raise UnknownInputError(f"model '{config.name}' has no input '{name}'; its inputs are {', '.join(dims)}")
        fits = len(shape) == len(dims[name]) and all(d in (-1, s) for d, s in zip(dims[name], shape, strict=True))
        if not fits:
            raise UnknownInputError(f"shape {list(shape)} does not fit input '{name}', whose dims are {dims[name]}")
    shapes = {n: tuple(given[n]) if n in given else tuple(d if d > 0 else 1 for d in ds) for n, ds in dims.items()}
    guessed = [name for name, ds in dims.items() if name not in given and any(d < 0 for d in ds)]
    return shapes, guessed


def random_requests(
    config: ModelConfig, shapes: Mapping[str, Sequence[int]], count: int, seed: int = 0, items: int = 1
) -> list[Inputs]:
    """`count` different requests, as a client of this configuration sends them.

    Values are random, unless the model's backend has examples of what it takes.

    Args:
        config: complete configuration; with `max_batch_size` > 0 every tensor gets a leading dimension of `items`.
        shapes: shape of each input without the batch dimension.
        items: inferences in each; 1 for a model that takes no batches.
    """
    random = np.random.default_rng(seed)
    batch = (items,) if config.max_batch_size else ()
    given = examples(config)

    def item(tensor: ModelInput) -> np.ndarray:
        shape = (*batch, *shapes[tensor.name])
        if tensor.name in given:
            return np.stack([given[tensor.name](random) for _ in range(items)]).reshape(shape)
        return random_tensor(BY_CONFIG_TYPE[tensor.data_type].name, shape, random)

    return [{tensor.name: item(tensor) for tensor in config.input} for _ in range(count)]


def examples(config: ModelConfig) -> Mapping[str, Callable[[np.random.Generator], np.ndarray]]:
    """As `Backend.examples`; none of a backend that is a folder of Python code."""
    kind = kind_of(config.backend)
    return backend(kind.name).examples(config) if kind is not None and is_installed(kind) else {}
