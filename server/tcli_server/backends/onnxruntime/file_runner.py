"""Runs items on an ONNX file as it is, without a configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tcli_server.datatypes import BY_NAME
from tcli_server.hardware.cores import usable_cores
from tcli_server.trial import Item, LostBatchError, RunError, TrialInput


class FileRunner:
    """A session that gets its items with a batch dimension in front.

    Args:
        file: an ONNX file, or the bytes of one.

    Raises:
        RunError: ONNX Runtime cannot load it.
    """

    def __init__(self, file: Path | bytes) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = usable_cores()
        try:
            self._session = ort.InferenceSession(
                file if isinstance(file, bytes) else str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise RunError(f"ONNX Runtime cannot load it: {_plain(error)}") from None
        self._names = [output.name for output in self._session.get_outputs()]
        self._texts = {node.name for node in self._session.get_inputs() if node.type == "tensor(string)"}

    def inputs(self, shapes: Mapping[str, Sequence[int]]) -> list[TrialInput]:
        """Its inputs.

        Args:
            shapes: of each input, without the batch dimension.

        Raises:
            RunError: an input is of a type that no values can be made up for.
        """
        return [
            TrialInput(node.name, _v2_name(node.type), tuple(shapes[node.name])) for node in self._session.get_inputs()
        ]

    def alone(self, item: Item) -> Item:
        """Run one item.

        Raises:
            RunError: it fails.
        """
        return self.together([item])[0]

    def together(self, items: Sequence[Item]) -> list[Item]:
        """Run items as one batch.

        Raises:
            RunError: it fails, or not every output has a row for each item.
        """
        outputs = self.outputs(items)
        for name, array in outputs.items():
            if not array.ndim or array.shape[0] != len(items):
                raise LostBatchError(
                    f"output '{name}' has shape {list(array.shape)} for a batch of {len(items)}: the model does not keep "
                    "the batch dimension"
                )
        return [{name: np.asarray(array[row]) for name, array in outputs.items()} for row in range(len(items))]

    def outputs(self, items: Sequence[Item]) -> Item:
        """What the file gives for a batch, as it is.

        Raises:
            RunError: it fails.
        """
        joined = {name: self._joined(name, [item[name] for item in items]) for name in items[0]}
        try:
            return dict(zip(self._names, self._session.run(self._names, joined), strict=True))
        except Exception as error:
            raise RunError(_plain(error)) from None

    def _joined(self, name: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
        joined = np.stack(arrays)
        if name not in self._texts:
            return joined
        return np.array([item.decode() for item in joined.ravel()], np.object_).reshape(joined.shape)


def _plain(error: Exception) -> str:
    return " ".join(str(error).split())


def _v2_name(onnx_type: str) -> str:
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    names = {"string": "BYTES", "float": "FP32", "double": "FP64", "float16": "FP16"}
    v2 = names.get(name, name.upper())
    if v2 not in BY_NAME:
        raise RunError(f"inputs of type {onnx_type} cannot be checked")
    return v2
