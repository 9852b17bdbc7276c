"""Is this request one that the model can run? The checks, their order and their words are Triton's
(`InferenceRequest::Normalize` and `ValidateRequestInputs` in its core)."""

from typing import NoReturn

from tcli_server.datatypes import BY_DTYPE
from tcli_server.errors import InvalidArgumentError, request_prefix
from tcli_server.request import InferenceRequest
from tcli_server.spec import ModelSpec, Shape, TensorSpec

_MOST_KINDS = 64


class Validator:
    """`validate` for one model, which looks only once at requests of the same kind. From any thread."""

    __slots__ = ("_batch_sizes", "_spec")

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._batch_sizes: dict[object, int] = {}

    def check(self, request: InferenceRequest) -> None:
        """As `validate`."""
        batch_size = self._batch_sizes.get(request.kind)
        if batch_size is not None:
            request.batch_size = batch_size
            return
        validate(request, self._spec)
        if request.kind is not None and self._spec.uniform:  # all of them have the same, empty, `shape_key`
            if len(self._batch_sizes) >= _MOST_KINDS:
                self._batch_sizes.clear()
            self._batch_sizes[request.kind] = request.batch_size


def validate(request: InferenceRequest, spec: ModelSpec) -> None:
    """Check a request against a model and set its `batch_size` and `shape_key`.

    Raises:
        InvalidArgumentError: names, shapes, data types or the batch size do not fit the model.
    """
    if not _obviously_valid(request, spec):
        _validate_in_order(request, spec)


def _obviously_valid(request: InferenceRequest, spec: ModelSpec) -> bool:
    """The hot path: exactly the declared inputs, all of fixed shape. False only says that a closer look is needed."""
    inputs, outputs = request.inputs, request.outputs
    if not spec.uniform or len(inputs) != len(spec.inputs):
        return False
    if outputs and not (spec.outputs.keys() >= set(outputs) and len(set(outputs)) == len(outputs)):
        return False
    if not spec.max_batch_size:
        for name, expected in spec.inputs.items():
            array = inputs.get(name)
            if array is None or array.dtype != expected.dtype or array.shape != expected.dims:
                return False
        return True
    batch_size = 0
    for name, expected in spec.inputs.items():
        array = inputs.get(name)
        if array is None or array.dtype != expected.dtype:
            return False
        shape = array.shape
        if not shape or shape[1:] != expected.dims or (batch_size and shape[0] != batch_size):
            return False
        batch_size = shape[0]
    request.batch_size = batch_size
    return 0 < batch_size <= spec.max_batch_size


def _validate_in_order(request: InferenceRequest, spec: ModelSpec) -> None:
    for name in request.outputs:
        if name not in spec.outputs:
            _refuse(request, f"unexpected inference output '{name}' for model '{spec.name}'")
    if len(set(request.outputs)) != len(request.outputs):
        twice = next(name for name in request.outputs if request.outputs.count(name) > 1)
        _refuse(request, f"output '{twice}' already exists in request")
    _check_count(request, spec)
    request.batch_size = _batch_size(request, spec)
    for name, array in request.inputs.items():
        _check_tensor(request, spec, spec.inputs[name], BY_DTYPE.get(array.dtype), array.shape)
    if not spec.uniform:
        skip = 1 if spec.max_batch_size else 0
        inputs = spec.inputs
        request.shape_key = tuple(
            sorted((name, () if inputs[name].ragged else array.shape[skip:]) for name, array in request.inputs.items())
        )


def _check_count(request: InferenceRequest, spec: ModelSpec) -> None:
    given, required = len(request.inputs), spec.required
    missing = [name for name in required if name not in request.inputs]
    if len(required) <= given <= len(spec.inputs) and not missing:
        return
    unknown = [name for name in request.inputs if name not in spec.inputs]
    if unknown and len(required) <= given <= len(spec.inputs):
        _refuse(request, f"unexpected inference input '{unknown[0]}' for model '{spec.name}'")
    expected = (
        f"expected {len(spec.inputs)} inputs"
        if len(required) == len(spec.inputs)
        else f"expected number of inputs between {len(required)} and {len(spec.inputs)}"
    )
    message = f"{expected} but got {given} inputs for model '{spec.name}'. Got input(s) {_names(request.inputs)}"
    if missing:
        message += f", but missing required input(s) {_names(missing)}. Please provide all required input(s)."
    elif unknown:
        message += f"; the model has no input(s) {_names(unknown)}."
    _refuse(request, message)


def _names(names: object) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"  # type: ignore[attr-defined]


def _batch_size(request: InferenceRequest, spec: ModelSpec) -> int:
    for name in request.inputs:
        if name not in spec.inputs:
            _refuse(request, f"unexpected inference input '{name}' for model '{spec.name}'")
    if not spec.max_batch_size:
        return 1
    batch_size: int | None = None
    for name, array in request.inputs.items():
        if not array.shape:
            _refuse(request, f"input '{name}' has no shape but model requires batch dimension for '{spec.name}'")
        if batch_size is None:
            batch_size = array.shape[0]
        elif array.shape[0] != batch_size:
            _refuse(request, f"input '{name}' batch size does not match other inputs for '{spec.name}'")
    batch_size = 1 if batch_size is None else batch_size
    if batch_size > spec.max_batch_size:
        _refuse(request, f"inference request batch-size must be <= {spec.max_batch_size} for '{spec.name}'")
    if batch_size < 1:
        _refuse(request, f"inference request batch-size must be >= 1 for '{spec.name}', got 0")
    return batch_size


def _check_tensor(
    request: InferenceRequest, spec: ModelSpec, expected: TensorSpec, datatype: object, shape: Shape
) -> None:
    if datatype is not expected.datatype:
        found = getattr(datatype, "name", "unknown")
        _refuse(
            request,
            f"inference input '{expected.name}' data-type is '{found}', but model '{spec.name}' expects "
            f"'{expected.datatype.name}'",
        )
    own = shape[1:] if spec.max_batch_size else shape
    fits = len(own) == len(expected.dims) and all(
        dim in (-1, size) for dim, size in zip(expected.dims, own, strict=True)
    )
    if not fits:
        message = (
            f"unexpected shape for input '{expected.name}' for model '{spec.name}'. Expected "
            f"{_shape(spec.full_dims(expected))}, got {_shape(shape)}."
        )
        if spec.max_batch_size:
            message += (
                f" NOTE: the model's max_batch_size is {spec.max_batch_size}, so every input has a leading batch "
                "dimension that the configuration's dims do not list."
            )
        _refuse(request, message)


def _shape(shape: Shape) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _refuse(request: InferenceRequest, message: str) -> NoReturn:
    raise InvalidArgumentError(f"{request_prefix(request.id)}{message}")
