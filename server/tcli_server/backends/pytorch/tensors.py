"""From numpy's arrays to PyTorch's tensors and back, without a copy where that is safe."""

import warnings

import ml_dtypes
import numpy as np
import torch

# What a request brought is read only. A model that writes into its inputs gets copies.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")

DATATYPES: dict[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.uint16: "UINT16",
    torch.uint32: "UINT32",
    torch.uint64: "UINT64",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.float32: "FP32",
    torch.float64: "FP64",
    torch.bfloat16: "BF16",
}
"""PyTorch's types that V2 has a name for."""

DTYPES = {name: dtype for dtype, name in DATATYPES.items()}
"""The other way around."""


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor over an array's memory, or over that of a copy where PyTorch cannot say how the array lies in memory."""
    if any(stride < 0 for stride in array.strides) or not array.dtype.isnative:
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """An array over a tensor's memory, which is the CPU's afterwards."""
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        words: np.ndarray = tensor.contiguous().view(torch.uint16).numpy()
        return words.view(ml_dtypes.bfloat16)
    array: np.ndarray = tensor.numpy()
    return array


def datatype_name(dtype: torch.dtype) -> str:
    """V2's name, or PyTorch's where V2 has none."""
    return DATATYPES.get(dtype, str(dtype).removeprefix("torch."))


def storage(tensor: torch.Tensor) -> int:
    """Where a tensor's memory begins, by which two of the same memory are known; 0 for one of none."""
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else 0
