"""What a loaded model takes and gives, read once from its configuration so that requests need not read it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from tritonclient.grpc.model_config_pb2 import BatchInput, ModelConfig, ModelInput, ModelOutput

from tcli_server.datatypes import BY_CONFIG_TYPE, DataType
from tcli_server.signature import ModelSignature

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        dims: as clients see it, without the batch dimension; -1 is any size.
        backend_dims: as the model file sees it, without the batch dimension: `reshape.shape` where given, else `dims`.
        optional: an input that a request may leave out.
        ragged: an input whose shape may differ between the requests of a batch (`allow_ragged_batch`).
    """

    name: str
    datatype: DataType
    dtype: np.dtype
    dims: Shape
    backend_dims: Shape
    optional: bool = False
    ragged: bool = False

    @property
    def reshaped(self) -> bool:
        return self.dims != self.backend_dims

    @property
    def fixed(self) -> bool:
        return -1 not in self.dims

    def to_backend(self, shape: Shape) -> Shape:
        """The model's shape for a client's shape (both without the batch dimension)."""
        return _substitute(self.dims, self.backend_dims, shape)

    def to_client(self, shape: Shape) -> Shape:
        """The client's shape for a model's shape (both without the batch dimension)."""
        return _substitute(self.backend_dims, self.dims, shape)


def _substitute(source: Shape, target: Shape, actual: Shape) -> Shape:
    """Fill the target's variable dimensions, in order, with the sizes that the source's have in `actual`."""
    if -1 not in target:
        return target
    variable = iter([size for declared, size in zip(source, actual, strict=True) if declared == -1])
    return tuple(next(variable) if dim == -1 else dim for dim in target)


@dataclass(frozen=True, slots=True)
class BatchInputSpec:
    """An input that no client sends: it is made from the shapes that another one has in the requests of a batch.

    Attributes:
        kind: `BATCH_ELEMENT_COUNT` or another one of Triton's.
        targets: the model's inputs that get it.
        source: the input that it tells of.
    """

    kind: str
    targets: tuple[str, ...]
    dtype: np.dtype
    source: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's inputs and outputs by name, in the configuration's order.

    Attributes:
        max_batch_size: 0 where the model has no batch dimension.
        decoupled: it gives any number of responses to a request, none included.
        uniform: every input is required and of fixed shape, so any two valid requests can share a batch.
        labels: output name -> class names, for outputs with a label file.
        batch_inputs: what the server makes of a whole batch.
        scattered: output name -> the input by whose shapes it is divided among the requests (`batch_output`).
    """

    name: str
    version: str
    max_batch_size: int
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    uniform: bool
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decoupled: bool = False
    batch_inputs: tuple[BatchInputSpec, ...] = ()
    scattered: Mapping[str, str] = field(default_factory=dict)

    @property
    def ragged(self) -> bool:
        """Whether a batch is more than its requests' rows one below the other."""
        return bool(self.batch_inputs or self.scattered) or any(spec.ragged for spec in self.inputs.values())

    @property
    def required(self) -> list[str]:
        return [spec.name for spec in self.inputs.values() if not spec.optional]

    def full_dims(self, spec: TensorSpec) -> Shape:
        """`dims` with the batch dimension as -1 where the model batches: the shape that metadata shows."""
        return (-1, *spec.dims) if self.max_batch_size else spec.dims


def read_spec(
    config: ModelConfig,
    version: int,
    labels: Mapping[str, Sequence[str]] | None = None,
    scalars: frozenset[str] = frozenset(),
) -> ModelSpec:
    """The specification of a complete, valid configuration.

    Args:
        labels: output name -> class names.
        scalars: tensors without any dimension in the model file. A configuration has no word for them, so they are
            configured as [1] and reshaped on the way, as in Triton.
    """
    inputs = {item.name: _tensor(item, scalars, item.optional, item.allow_ragged_batch) for item in config.input}
    outputs = {item.name: _tensor(item, scalars) for item in config.output}
    uniform = all(spec.fixed and not spec.optional for spec in inputs.values())
    decoupled = config.model_transaction_policy.decoupled
    batch_inputs = tuple(_batch_input(item) for item in config.batch_input)
    scattered = {name: item.source_input[0] for item in config.batch_output for name in item.target_name}
    return ModelSpec(
        config.name,
        str(version),
        config.max_batch_size,
        inputs,
        outputs,
        uniform,
        labels or {},
        decoupled,
        batch_inputs,
        scattered,
    )


def scalars(signature: ModelSignature | None) -> frozenset[str]:
    """Tensors that have no dimension at all in the model, as far as that is known."""
    if signature is None:
        return frozenset()
    tensors = (*signature.inputs, *signature.outputs, *signature.overridable)
    return frozenset(tensor.name for tensor in tensors if tensor.rank_known and not tensor.shape)


def _tensor(
    item: ModelInput | ModelOutput, scalars: frozenset[str], optional: bool = False, ragged: bool = False
) -> TensorSpec:
    datatype, dims = BY_CONFIG_TYPE[item.data_type], tuple(item.dims)
    backend_dims = tuple(item.reshape.shape) if item.HasField("reshape") else dims
    if item.name in scalars:
        backend_dims = ()
    return TensorSpec(item.name, datatype, datatype.dtype, dims, backend_dims, optional, ragged)


def _batch_input(item: BatchInput) -> BatchInputSpec:
    kind = BatchInput.Kind.Name(item.kind)
    return BatchInputSpec(kind, tuple(item.target_name), BY_CONFIG_TYPE[item.data_type].dtype, item.source_input[0])


def element_count(shape: Shape) -> int:
    """Elements of a tensor; Triton counts an empty shape as no elements, so scalars travel as [1]."""
    return prod(shape) if shape else 0
