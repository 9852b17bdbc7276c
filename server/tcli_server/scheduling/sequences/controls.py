"""The inputs that tell a model about the sequence: START, END, READY and CORRID.

Source: `control_input` in Triton's model_config.proto, and `SequenceBatch::CreateCorrelationIDControl` in its core.
"""

from collections.abc import Callable

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelSequenceBatching

from tcli_server.datatypes import BY_CONFIG_TYPE, DataType
from tcli_server.errors import InvalidArgumentError
from tcli_server.request import InferenceRequest, Inputs

LONGEST_ID = 128
"""Bytes of a correlation id that is a text."""

_LARGEST_ID = 2**64 - 1
_Control = ModelSequenceBatching.Control
_VALUES = {
    "int32_false_true": np.dtype(np.int32),
    "fp32_false_true": np.dtype(np.float32),
    "bool_false_true": np.dtype(np.bool_),
}


class Controls:
    """Makes the control inputs of requests.

    Args:
        shape: of each control for one request: (1, 1) where the model batches, else (1,).
    """

    def __init__(self, config: ModelSequenceBatching, model: str, shape: tuple[int, ...]) -> None:
        self._model = model
        self._flags: list[tuple[str, Callable[[InferenceRequest], bool], tuple[np.ndarray, np.ndarray]]] = []
        self._ids: list[tuple[str, DataType]] = []
        self._shape = shape
        for listed in config.control_input:
            for control in listed.control:
                if control.kind == _Control.CONTROL_SEQUENCE_CORRID:
                    self._ids.append((listed.name, BY_CONFIG_TYPE[control.data_type]))
                else:
                    self._flags.append((listed.name, _FLAGS[control.kind], _false_and_true(control, shape)))

    @property
    def any_id(self) -> int | str:
        """A correlation id that the model can be given."""
        return "1" if any(kind.name == "BYTES" for _, kind in self._ids) else 1

    def check(self, request: InferenceRequest) -> None:
        """Whether the request's id can be given to the model.

        Raises:
            InvalidArgumentError: it cannot.
        """
        given = request.sequence_id
        if isinstance(given, str):
            try:
                length = len(given.encode())
            except UnicodeEncodeError:
                raise InvalidArgumentError("the correlation ID is no text that UTF-8 can hold") from None
            if length > LONGEST_ID:
                raise InvalidArgumentError(f"string correlation ID cannot be longer than {LONGEST_ID} characters")
        elif not isinstance(given, int):
            raise InvalidArgumentError(f"the correlation ID is a {type(given).__name__}, expected a number or a text")
        elif not 0 <= given <= _LARGEST_ID:
            raise InvalidArgumentError(f"correlation ID {given} is out of range: expected 1 to {_LARGEST_ID}")
        for name, kind in self._ids:
            if isinstance(given, str) is not (kind.name == "BYTES"):
                found = "BYTES" if isinstance(given, str) else "UINT64"
                raise InvalidArgumentError(
                    f"sequence batching control '{name}' data-type is '{found}', but model '{self._model}' expects "
                    f"'{kind.name}'"
                )

    def of(self, request: InferenceRequest) -> Inputs:
        """The controls of a request."""
        inputs = {name: values[is_set(request)] for name, is_set, values in self._flags}
        for name, kind in self._ids:
            inputs[name] = self._correlation_id(request.sequence_id, kind)
        return inputs

    def of_nobody(self) -> Inputs:
        """The controls of a row of a batch that is no request: all false, and the id 0 or empty."""
        inputs = {name: values[False] for name, _, values in self._flags}
        for name, kind in self._ids:
            inputs[name] = self._correlation_id("" if kind.name == "BYTES" else 0, kind)
        return inputs

    def _correlation_id(self, given: int | str, kind: DataType) -> np.ndarray:
        array = np.empty(self._shape, kind.dtype)
        if isinstance(given, str):
            array[...] = given.encode()
        else:  # narrower types get the low bytes, as in Triton
            array[...] = np.array([given], np.uint64).view(kind.dtype)[0]
        return array


_FLAGS: dict[int, Callable[[InferenceRequest], bool]] = {
    _Control.CONTROL_SEQUENCE_START: lambda request: request.sequence_start,
    _Control.CONTROL_SEQUENCE_END: lambda request: request.sequence_end,
    _Control.CONTROL_SEQUENCE_READY: lambda _: True,
}


def _false_and_true(control: ModelSequenceBatching.Control, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    for field, dtype in _VALUES.items():
        values = getattr(control, field)
        if values:
            return np.full(shape, values[0], dtype), np.full(shape, values[1], dtype)
    raise AssertionError("configurations are judged before")
