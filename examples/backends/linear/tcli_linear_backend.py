"""Runs models that are a matrix in a NumPy file: `y = x @ matrix`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tcli_linear import LINEAR
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Instance, Placement, Surroundings
from tcli_server.backends.model_file import ModelFileError
from tcli_server.signature import ModelSignature, TensorSignature


class LinearBackend(Backend):
    """Opens such files."""

    kind = LINEAR

    def open(self, config: ModelConfig, model_file: Path, placement: Placement, surroundings: Surroundings) -> Instance:
        """As `Backend.open`."""
        try:
            matrix = np.load(model_file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ModelFileError(model_file, "a NumPy file", f"none ({error})", "save it by numpy.save") from error
        if matrix.ndim != 2 or matrix.dtype != np.float32:
            found = f"an array {matrix.shape} of {matrix.dtype}"
            raise ModelFileError(model_file, "a float32 matrix", found, "save matrix.astype(numpy.float32)")
        return _Linear(matrix)


class _Linear(Instance):
    steady = True

    def __init__(self, matrix: np.ndarray) -> None:
        self._matrix = matrix

    @property
    def signature(self) -> ModelSignature:
        takes, gives = self._matrix.shape
        return ModelSignature(
            (TensorSignature("x", "FP32", (-1, takes)),), (TensorSignature("y", "FP32", (-1, gives)),)
        )

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        return [inputs["x"] @ self._matrix for _ in outputs]
