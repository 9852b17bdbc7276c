"""One instance: a program, the threads that it may use, and numpy's arrays in and out."""

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tcli_server.backends import Instance
from tcli_server.backends.pytorch.naming import Names
from tcli_server.backends.pytorch.program import Key, Program
from tcli_server.backends.pytorch.script import short
from tcli_server.backends.pytorch.tensors import DTYPES, datatype_name, storage, to_array, to_tensor
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.observability.log import LOG
from tcli_server.signature import ModelSignature

_HERE = threading.local()


@dataclass(frozen=True, slots=True)
class Settings:
    """How an instance runs.

    Attributes:
        device: where its inputs go; None for the CPU.
        threads: inside of an operator.
        inference_mode: False for only no gradients.
        optimized: whether the TorchScript compiler may optimise.
        cleans: give a GPU's cached memory back after each run.
        batches: the first dimension is a batch.
        datatypes: output -> the type that the configuration says.
    """

    device: torch.device | None
    threads: int
    inference_mode: bool
    optimized: bool
    cleans: bool
    batches: bool
    datatypes: Mapping[str, str]


class PyTorchInstance(Instance):
    """A program that is called with tensors over the requests' memory."""

    def __init__(self, program: Program, names: Names, settings: Settings) -> None:
        self._program = program
        self._names = names
        self._settings = settings
        slots = program.inputs
        self._strings = frozenset(
            name for name, key in names.inputs.items() if isinstance(key, int) and slots[key].strings
        )
        self._types = {name: DTYPES[datatype] for name, datatype in settings.datatypes.items() if datatype in DTYPES}
        self._mode = torch.inference_mode if settings.inference_mode else torch.no_grad
        self._optimization = contextlib.nullcontext if settings.optimized else _unoptimized
        self._scalars = frozenset(
            tensor.name for tensor in names.signature.outputs if tensor.rank_known and not tensor.shape
        )

    @property
    def signature(self) -> ModelSignature:
        """As `Instance.signature`."""
        return self._names.signature

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Strings as text; everything else as it is."""
        if not self._strings:
            return inputs
        return {name: _text(name, array) if name in self._strings else array for name, array in inputs.items()}

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`."""
        settings = self._settings
        if getattr(_HERE, "threads", 0) != settings.threads:
            torch.set_num_threads(settings.threads)  # of this thread and of what it calls, not of other threads
            _HERE.threads = settings.threads
        try:
            with self._mode(), self._optimization():
                lent, values = self._values(inputs)
                answer = self._program.call(values)
                arrays = [self._array(name, answer, lent) for name in outputs]
            if settings.cleans:
                torch.cuda.empty_cache()
        except ServerError:
            raise
        except Exception as error:  # RuntimeError mostly, and whatever Python code of a program raises
            LOG.debug("PyTorch execute failure", exc_info=error)
            raise InternalError(f"PyTorch execute failure: {short(error)}") from error
        return arrays

    def close(self) -> None:
        """Free the program."""
        del self._program

    def _values(self, inputs: Mapping[str, np.ndarray]) -> tuple[list[int], Any]:
        """What the program is called with, and where the memory of the requests begins in that."""
        program, device = self._program, self._settings.device
        lent: list[int] = []
        values: dict[Key, Any] = {}
        for name, array in inputs.items():
            if name in self._strings:
                values[self._names.inputs[name]] = array.ravel().tolist()
                continue
            tensor = to_tensor(array)
            if device is not None:
                tensor = tensor.to(device)
            elif program.writes:
                tensor = tensor.clone()
            else:
                lent.append(storage(tensor))
            values[self._names.inputs[name]] = tensor
        if program.keyed:
            return lent, values
        return lent, [values.get(index) for index in range(len(program.inputs))]

    def _array(self, name: str, answer: Mapping[Key, Any], lent: list[int]) -> np.ndarray:
        key = self._names.outputs[name]
        if key not in answer and isinstance(key, str) and not any(isinstance(each, str) for each in answer):
            raise InternalError(f"output '{name}': the model answered a tuple or a tensor, expected a dictionary")
        if key not in answer:
            there = f"has {len(answer)} outputs" if isinstance(key, int) else f"answers {', '.join(map(str, answer))}"
            raise InternalError(f"output '{name}' refers to an output which doesn't exist. This model {there}")
        value = answer[key]
        expected = self._types.get(name)
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_quantized:
                raise InternalError(f"output '{name}' is a sparse or quantized tensor: make it dense in the model")
            if value.dtype != expected:
                wanted = self._settings.datatypes.get(name, "")
                raise InternalError(
                    f"configuration expects datatype TYPE_{_config_word(wanted)} for output '{name}', "
                    f"model provides TYPE_{datatype_name(value.dtype)}"
                )
            if not value.shape and name not in self._scalars:
                raise InternalError(f"output '{name}' is a scalar which is not supported: give it a dimension")
            begin = storage(value)  # of memory that is not the answer's own: it would change under the client's eyes
            return to_array(value.clone() if begin in lent or begin in self._program.weights else value)
        return self._string_array(name, value)

    def _string_array(self, name: str, value: Any) -> np.ndarray:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InternalError(f"output '{name}' is {type(value).__name__}, expected a tensor or a list of strings")
        if self._settings.datatypes.get(name) != "BYTES":
            wanted = self._settings.datatypes.get(name, "")
            raise InternalError(
                f"configuration expects datatype TYPE_{wanted} for output '{name}', model provides TYPE_STRING"
            )
        array = np.empty(len(value), np.object_)
        array[:] = [item.encode() for item in value]
        return array.reshape(-1, 1) if self._settings.batches else array


def _unoptimized() -> contextlib.AbstractContextManager[None]:
    """In which the TorchScript compiler leaves a program as it is."""
    return torch.jit.optimized_execution(False)  # type: ignore[no-any-return]


def _config_word(datatype: str) -> str:
    return "STRING" if datatype == "BYTES" else datatype


def _text(name: str, array: np.ndarray) -> np.ndarray:
    text = np.empty(array.shape, np.object_)
    try:
        text.ravel()[:] = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"input '{name}' holds bytes that are no UTF-8 text ({error}): PyTorch's strings are text. Fix: send UTF-8, or "
            "give the model a UINT8 input for arbitrary bytes"
        ) from None
    return text
