"""What a model file takes and gives, as its backend reads it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorSignature:
    """One input or output of a model file.

    Attributes:
        datatype: V2 name (`FP32`); the file's own word where V2 has none; empty where the file does not say.
        shape: every dimension, the batch dimension included; -1 where it varies or has only a name.
        rank_known: False where the file does not even say how many dimensions there are (`shape` is then empty).
        default: the shape of the value that the file has for an input; None without one.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    rank_known: bool = True
    default: tuple[int, ...] | None = None

    @property
    def batchable(self) -> bool:
        """Whether the first dimension varies."""
        return bool(self.shape) and self.shape[0] == -1


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """What a model file takes and gives, in the file's order.

    Attributes:
        overridable: inputs that the file has a value for, so that requests may leave them out.
        most_batch: the largest batch that it takes; None for any.
    """

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    overridable: tuple[TensorSignature, ...] = ()
    most_batch: int | None = None

    @property
    def batchable(self) -> bool:
        """Triton's "can batch": the first dimension of every input and output varies."""
        return all(tensor.batchable for tensor in (*self.inputs, *self.outputs))
