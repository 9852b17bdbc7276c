"""The shapes of tensors on their way: `reshape`, and the batch dimension between a model that batches and one that does not.

Source: `EnsembleContext::ReshapeTensorDims` in Triton's core.
"""

import numpy as np

from tcli_server.spec import Shape, TensorSpec


def passed_on(array: np.ndarray, batches: bool, to_batches: bool, dims: Shape) -> np.ndarray:
    """A tensor as its taker wants it.

    Args:
        batches: whether its first dimension is a batch; `to_batches` says the same of what the taker wants.
        dims: the taker's, without a batch dimension.
    """
    if batches == to_batches:
        return array
    fits = len(array.shape) == len(dims) and all(
        want in (-1, size) for want, size in zip(dims, array.shape, strict=True)
    )
    if to_batches:
        return array[np.newaxis] if fits else array
    return array if fits or array.shape[:1] != (1,) else array[0]


def inside(spec: TensorSpec, array: np.ndarray, batches: bool) -> np.ndarray:
    """An input of the ensemble in the shape that `reshape` gives it."""
    if not spec.reshaped:
        return array
    batch = array.shape[:batches]
    return array.reshape((*batch, *spec.to_backend(array.shape[len(batch) :])))


def outside(spec: TensorSpec, array: np.ndarray, batches: bool) -> np.ndarray:
    """An output of the ensemble in the shape that clients see."""
    if not spec.reshaped:
        return array
    batch = array.shape[:batches]
    return array.reshape((*batch, *spec.to_client(array.shape[len(batch) :])))
