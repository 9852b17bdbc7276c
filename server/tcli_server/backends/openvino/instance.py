"""A compiled model as an instance: as many infer requests as it has streams, each of which runs a batch."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import openvino as ov

from tcli_server.backends import Instance
from tcli_server.backends.openvino.reading import plain
from tcli_server.backends.openvino.tensors import from_tensor, to_tensor
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.observability.log import LOG
from tcli_server.signature import ModelSignature

_MOST_TEXT = 1 << 26
"""Bytes that a request's strings may take when all are as long as the longest, which is how OpenVINO gives strings back."""

_LARGEST = {"INT64": (-(1 << 31), (1 << 31) - 1), "UINT64": (0, (1 << 31) - 1)}


class OpenVinoInstance(Instance):
    """Runs batches on the streams of one compiled model.

    Args:
        narrow: the device computes 64-bit integers in 32 bits.
        check_shapes: refuses what the graph does not take, input by input.
        again: compiles the model once more; raises RuntimeError.

    Attributes:
        lanes: as `Instance.lanes`: its streams.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        signature: ModelSignature,
        lanes: int,
        narrow: bool,
        check_shapes: Callable[[Sequence[tuple[int, ...]]], None],
        again: Callable[[], ov.CompiledModel],
    ) -> None:
        self.lanes = lanes
        self._compiled = compiled
        self._again = again
        self._check_shapes = check_shapes
        self._renewing = threading.Lock()
        self._signature = signature
        self._inputs = {tensor.name: index for index, tensor in enumerate(signature.inputs)}
        self._outputs = {tensor.name: index for index, tensor in enumerate(signature.outputs)}
        self._strings = [tensor.name for tensor in signature.inputs if tensor.datatype == "BYTES"]
        self._narrow = {
            tensor.name: _LARGEST[tensor.datatype]
            for tensor in signature.inputs
            if narrow and tensor.datatype in _LARGEST
        }
        self._bounded = {
            tensor.name: port.get_partial_shape()
            for tensor, port in zip(signature.inputs, compiled.inputs, strict=True)
            if _is_bounded(port.get_partial_shape())
        }
        self._checked = bool(self._strings or self._narrow or self._bounded)
        # First in, first out: as many batches as there are requests warm up all of them.
        self._free = deque((compiled, compiled.create_infer_request()) for _ in range(lanes))

    @property
    def signature(self) -> ModelSignature:
        """As `Instance.signature`."""
        return self._signature

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Refuse what OpenVINO would fail on together with others, or would answer wrong without a word."""
        if self._checked:
            for name, array in inputs.items():
                self._check(name, array)
        return inputs

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`."""
        self._check_shapes([inputs[name].shape for name in self._inputs])
        compiled, request = self._free.popleft()
        try:
            if compiled is not self._compiled:
                compiled, request = self._compiled, self._compiled.create_infer_request()
            # The tensors are held here while it runs: they lie over the arrays' memory, or own a copy.
            tensors = [(self._inputs[name], to_tensor(array)) for name, array in inputs.items()]
            for index, tensor in tensors:
                request.set_input_tensor(index, tensor)
            request.infer(share_outputs=True, decode_strings=False)
            return [from_tensor(request.get_output_tensor(self._outputs[name])) for name in outputs]
        except RuntimeError as error:
            self._renew(compiled)
            raise InternalError(f"openvino error: {plain(error)}") from error
        finally:
            self._free.append((compiled, request))

    def close(self) -> None:
        """Give back the requests, and with them the compiled model."""
        self._free.clear()
        del self._compiled, self._again, self._check_shapes

    def _renew(self, failed: ov.CompiledModel) -> None:
        """Go on with another copy: after a failure OpenVINO may fail on all inputs of the shapes that ran well before."""
        with self._renewing:
            if failed is not self._compiled:  # another lane was first
                return
            try:
                self._compiled = self._again()
            except RuntimeError:
                LOG.exception("a compiled model could not be renewed after a failure")

    def _check(self, name: str, array: np.ndarray) -> None:
        if name in self._narrow and array.size:
            least, most = self._narrow[name]
            for value in (array.min(), array.max()):
                if not least <= value <= most:
                    raise InvalidArgumentError(
                        f"input '{name}' holds {value}, but OpenVINO computes {array.dtype.name} in 32 bits on the CPU and "
                        f"would give wrong answers: expected values from {least} to {most}"
                    )
        elif name in self._strings and array.size:
            longest = max(len(item) for item in array.ravel())
            if longest * array.size > _MOST_TEXT:
                raise InvalidArgumentError(
                    f"input '{name}' has {array.size} strings, the longest of {longest} bytes: together more than {_MOST_TEXT} "
                    "bytes, as OpenVINO gives all the length of the longest"
                )
            if any(item[-1:] in (b"\0", "\0") for item in array.ravel()):
                raise InvalidArgumentError(
                    f"input '{name}' has a string that ends in a zero byte, which OpenVINO would lose"
                )
        shape = self._bounded.get(name)
        if shape is not None and not shape.compatible(ov.PartialShape(list(array.shape))):
            raise InvalidArgumentError(
                f"input '{name}' has shape {list(array.shape)}, but the model takes {shape} (batch dimension included)"
            )


def _is_bounded(shape: ov.PartialShape) -> bool:
    return not shape.rank.is_dynamic and any(
        dim.is_dynamic and (dim.get_min_length() > 0 or dim.get_max_length() >= 0) for dim in shape
    )
