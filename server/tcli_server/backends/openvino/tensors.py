"""From numpy arrays to OpenVINO's tensors and back: bfloat16 and strings, which its binding has no arrays for, too."""

import ml_dtypes
import numpy as np
import openvino as ov

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def to_tensor(array: np.ndarray) -> ov.Tensor:
    """A tensor over the array's own memory, which must outlive it; a copy where that is read only, or strings."""
    if array.dtype.hasobject:
        return _to_strings(array)
    if not (array.flags.writeable and array.flags.c_contiguous):
        array = array.copy("C")
    if array.dtype == _BFLOAT16:
        return ov.Tensor(array.view(np.uint16), ov.Shape(array.shape), ov.Type.bf16)
    return ov.Tensor(array, shared_memory=True)


def from_tensor(tensor: ov.Tensor) -> np.ndarray:
    """A copy, as the memory is that of the next run."""
    kind = tensor.element_type
    if kind == ov.Type.string:
        return _from_strings(tensor)
    array: np.ndarray = tensor.data.copy()
    return array.view(_BFLOAT16) if kind == ov.Type.bf16 else array


def _to_strings(array: np.ndarray) -> ov.Tensor:
    tensor = ov.Tensor(ov.Type.string, ov.Shape(array.shape))
    if array.size:
        tensor.bytes_data = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
    return tensor


def _from_strings(tensor: ov.Tensor) -> np.ndarray:
    texts = np.empty(tuple(tensor.shape), np.object_)
    if texts.size:
        texts.ravel()[:] = np.asarray(tensor.bytes_data).ravel().tolist()
    return texts
