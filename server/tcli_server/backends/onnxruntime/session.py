"""One ONNX Runtime session as an instance: numpy arrays in and out, strings and bfloat16 included."""

import ctypes
from collections.abc import Callable, Mapping, Sequence

import ml_dtypes
import numpy as np
import onnxruntime as ort

from tcli_server.backends.onnxruntime.binding import BoundSession
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.signature import ModelSignature

_BFLOAT16 = 16
"""As `onnx.TensorProto.BFLOAT16`."""


class OnnxRuntimeInstance:
    """A session with a thread pool of its own.

    Attributes:
        signature: what the model takes and gives, as the session sees it.
        steady: as `Instance.steady`; strings never are, as each takes as long as it is.
    """

    lanes = 1

    def __init__(
        self, session: ort.InferenceSession, run_options: ort.RunOptions | None, signature: ModelSignature, steady: bool
    ) -> None:
        self.signature = signature
        self._session = session
        self._run_options = run_options
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self._string_inputs = frozenset(node.name for node in inputs if node.type == "tensor(string)")
        self._string_outputs = frozenset(node.name for node in outputs if node.type == "tensor(string)")
        self.steady = steady and not self._string_inputs and not self._string_outputs
        self._has_bfloat16 = any(node.type == "tensor(bfloat16)" for node in (*inputs, *outputs))

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Strings as text, which is what ONNX Runtime's binding takes; everything else as it is."""
        if not self._string_inputs:
            return inputs
        return {name: _to_text(name, array) if name in self._string_inputs else array for name, array in inputs.items()}

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`."""
        try:
            if self._has_bfloat16:
                return self._run_values(inputs, outputs)
            arrays: list[np.ndarray] = self._session.run(outputs, inputs, self._run_options)
        except Exception as error:  # ONNX Runtime raises classes of its own, one a status code
            raise InternalError(f"onnx runtime error: {error}") from error
        if self._string_outputs:
            return [
                _to_bytes(array) if name in self._string_outputs else array
                for name, array in zip(outputs, arrays, strict=True)
            ]
        return arrays

    def _run_values(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """numpy has no bfloat16 that ONNX Runtime knows, so such tensors pass as OrtValues over their 16-bit words."""
        values = {name: _to_value(array) for name, array in inputs.items()}
        return [_from_value(value) for value in self._session.run_with_ort_values(outputs, values, self._run_options)]

    def close(self) -> None:
        """Free the session."""
        del self._session


class BoundOnnxRuntimeInstance(OnnxRuntimeInstance):
    """A session on a GPU, whose inputs and outputs have memory there that is used again and again.

    Args:
        device: as `BoundSession` takes it; likewise number and graphs.
        run_options: makes the options of a run.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        run_options: Callable[[], ort.RunOptions | None],
        signature: ModelSignature,
        device: str,
        number: int,
        graphs: bool,
    ) -> None:
        super().__init__(session, run_options(), signature, False)
        self._bound: BoundSession | None = None
        if not (self._string_inputs or self._string_outputs or self._has_bfloat16):  # numpy cannot lend these
            self._bound = BoundSession(session, device, number, run_options, graphs)

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`."""
        if self._bound is None or not all(array.size for array in inputs.values()):
            return super().run(inputs, outputs)
        try:
            return self._bound.run(inputs, outputs)
        except Exception as error:  # as in `OnnxRuntimeInstance.run`
            raise InternalError(f"onnx runtime error: {error}") from error

    def close(self) -> None:
        """Free the buffers and the session."""
        del self._bound
        super().close()


def _to_text(name: str, array: np.ndarray) -> np.ndarray:
    text = np.empty(array.shape, np.object_)
    try:
        text.ravel()[:] = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"input '{name}' holds bytes that are no UTF-8 text ({error}): ONNX Runtime's string tensors hold text. Fix: "
            "send UTF-8, or give the model a UINT8 input for arbitrary bytes"
        ) from None
    return text


def _to_bytes(array: np.ndarray) -> np.ndarray:
    encoded = np.empty(array.shape, np.object_)
    encoded.ravel()[:] = [str(item).encode() for item in array.ravel()]
    return encoded


def _to_value(array: np.ndarray) -> ort.OrtValue:
    if array.dtype == ml_dtypes.bfloat16:
        words = np.asarray(array, order="C").view(np.uint16)  # not ascontiguousarray, which gives a scalar a dimension
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(words, _BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _from_value(value: ort.OrtValue) -> np.ndarray:
    if value.data_type() != "tensor(bfloat16)":
        array: np.ndarray = value.numpy()
        return array
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(raw, ml_dtypes.bfloat16).reshape(value.shape())
