"""What a program answers whose file does not say it: seen in runs on random inputs of the shapes that are told."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.pytorch.naming import read_names
from tcli_server.backends.pytorch.program import Key, Program
from tcli_server.backends.pytorch.script import load_script, short
from tcli_server.backends.pytorch.tensors import datatype_name, to_tensor
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.random_tensor import random_tensor
from tcli_server.signature import ModelSignature, TensorSignature

_SIZES = (8, 32, 64, 224, 4, 16, 128, 2, 1, 256, 512, 640)
"""Tried in turn for dimensions that vary."""

_BATCHES = 2, 3
"""Sizes of a first dimension that varies, of two runs that are compared."""

Told = Mapping[str, TensorSignature]


def observed_signature(path: Path, config: ModelConfig) -> ModelSignature:
    """What a TorchScript file takes and gives.

    Args:
        config: all inputs with every dimension, and nothing else.

    Raises:
        ModelFileError: it does not run on such inputs, or answers something that no tensor is.
    """
    program = load_script(path, torch.device("cpu"))
    told = {
        tensor.name: TensorSignature(tensor.name, BY_CONFIG_TYPE[tensor.data_type].name, tuple(tensor.dims))
        for tensor in config.input
    }
    names = read_names(config, program)
    first, other, size = _first_run(path, program, names.inputs, told)
    for varied in _SIZES:
        if varied != size:
            again = _tried(program, names.inputs, told, _BATCHES[1], varied)
            if not isinstance(again, Exception):
                other = again
                break
    outputs = tuple(_tensor(path, name, first[key], other.get(key)) for name, key in _named(names.outputs, first))
    return ModelSignature(tuple(told.values()), outputs)


def _first_run(
    path: Path, program: Program, inputs: Mapping[str, Key], told: Told
) -> tuple[Mapping[Key, Any], Mapping[Key, Any], int]:
    """Answers to two batches of the same items' size, and that size."""
    reason: Exception | None = None
    for size in _SIZES:
        first, other = (_tried(program, inputs, told, batch, size) for batch in _BATCHES)
        if not isinstance(first, Exception) and not isinstance(other, Exception):
            return first, other, size
        reason = reason or next(each for each in (first, other) if isinstance(each, Exception))
    assert reason is not None
    shapes = ", ".join(f"'{tensor.name}' {tensor.datatype} {list(tensor.shape)}" for tensor in told.values())
    raise ModelFileError(
        path, f"a model that takes {shapes}", f"one that fails on that ({short(reason)})", "tell the inputs otherwise"
    )


def _tried(
    program: Program, inputs: Mapping[str, Key], told: Told, batch: int, size: int
) -> Mapping[Key, Any] | Exception:
    random = np.random.default_rng(7)
    values: dict[Key, Any] = {}
    for name, tensor in told.items():
        rest = [size if dim < 0 else dim for dim in tensor.shape[1:]]
        first = [batch if dim < 0 else dim for dim in tensor.shape[:1]]
        array = np.asarray(random_tensor(tensor.datatype, (*first, *rest), random))
        is_text = tensor.datatype == "BYTES"
        values[inputs[name]] = [word.decode() for word in array.ravel()] if is_text else to_tensor(array)
    try:
        with torch.inference_mode():
            return program.call(
                values if program.keyed else [values.get(index) for index in range(len(program.inputs))]
            )
    except Exception as error:  # RuntimeError mostly, and whatever code of a program raises
        return error


def _named(outputs: Mapping[str, Key], answer: Mapping[Key, Any]) -> Iterator[tuple[str, Key]]:
    """The outputs' names, and where they are; what only the answer tells has the name of its key."""
    if outputs:
        yield from outputs.items()
        return
    for key in answer:
        yield key if isinstance(key, str) else f"OUTPUT__{key}", key


def _tensor(path: Path, name: str, one: Any, other: Any) -> TensorSignature:
    if isinstance(one, list) and all(isinstance(word, str) for word in one):
        return TensorSignature(name, "BYTES", (-1,))
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor) or one.ndim != other.ndim:
        found = f"a model whose output '{name}' is no tensor of the same rank each time"
        raise ModelFileError(path, "a model that answers tensors", found, "export a module around it that does")
    shape = tuple(mine if mine == its else -1 for mine, its in zip(one.shape, other.shape, strict=True))
    return TensorSignature(name, datatype_name(one.dtype), shape)
