"""Batches of requests whose shapes differ: their inputs one behind the other as one flat array, with inputs that tell the
model what belongs to whom, and outputs that are divided by the requests' shapes.

Source: `SetInputTensors` of Triton's ONNX Runtime backend, `BackendInputCollector` and `BackendOutputResponder` of its
backend library. Counts are of requests, as there, and not of items: a request of two items has one count.
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod

import numpy as np

from tcli_server.errors import InternalError
from tcli_server.request import InferenceResponse, Inputs
from tcli_server.scheduling.execution import Executor, Outcome, Part
from tcli_server.spec import BatchInputSpec, Shape, TensorSpec


class RaggedExecutor(Executor):
    """As `Executor`, for models with ragged inputs, `batch_input` or `batch_output`."""

    def _gather(self, parts: Sequence[Part]) -> Inputs:
        specs = self._spec.inputs
        flat = {name for name, spec in specs.items() if spec.ragged}
        arrays = super()._gather(
            [
                (request, {name: array.reshape(-1) if name in flat else array for name, array in inputs.items()})
                for request, inputs in parts
            ]
        )
        for made in self._spec.batch_inputs:
            arrays.update(dict.fromkeys(made.targets, batch_input(made, list(self._shapes(parts, made.source)))))
        return arrays

    def _to_backend(self, spec: TensorSpec | None, array: np.ndarray) -> np.ndarray:
        return array if spec is not None and spec.ragged else super()._to_backend(spec, array)

    def _scatter(
        self, parts: Sequence[Part], wanted: Sequence[str], names: Sequence[str], arrays: Sequence[np.ndarray]
    ) -> list[Outcome]:
        scattered = self._spec.scattered
        given = dict(zip(names, arrays, strict=True))
        shares = {name: self._shares(parts, name, array) for name, array in given.items() if name in scattered}
        stacked = {name: array for name, array in given.items() if name not in scattered}
        outcomes = super()._scatter(
            parts, [name for name in wanted if name not in scattered], list(stacked), list(stacked.values())
        )
        for index, (request, response) in enumerate(outcomes):
            assert isinstance(response, InferenceResponse)
            response.outputs = {
                name: shares[name][index] if name in shares else response.outputs[name]
                for name in wanted
                if not request.outputs or name in request.outputs
            }
        return outcomes

    def _shares(self, parts: Sequence[Part], name: str, array: np.ndarray) -> list[np.ndarray]:
        """Each request's part of a flat output: the dimensions that vary are those of the input at the same place."""
        spec, source = self._spec.outputs[name], self._spec.scattered[name]
        batch = (-1,) if self._spec.max_batch_size else ()
        shapes = [
            tuple(shape[axis] if dim == -1 else dim for axis, dim in enumerate((*batch, *spec.backend_dims)))
            for shape in self._shapes(parts, source)
        ]
        elements = sum([prod(shape) for shape in shapes])
        if array.size != elements:
            raise InternalError(
                f"output '{name}' of model '{self._spec.name}' has {array.size} elements for a batch whose requests are "
                f"to get {elements}, by the shapes of their '{source}' (batch_output): the model must give all of them"
            )
        flat, start = array.reshape(-1), 0
        shares: list[np.ndarray] = []
        for shape in shapes:
            end = start + prod(shape)
            shares.append(flat[start:end].reshape(self._client_shape(spec, shape)))
            start = end
        return shares

    def _client_shape(self, spec: TensorSpec, shape: Shape) -> Shape:
        if not spec.reshaped:
            return shape
        return (shape[0], *spec.to_client(shape[1:])) if self._spec.max_batch_size else spec.to_client(shape)

    def _shapes(self, parts: Sequence[Part], name: str) -> Iterator[Shape]:
        """The shape that an input has in each request, as the model would see it if it were not flat."""
        spec, batches = self._spec.inputs[name], self._spec.max_batch_size > 0
        for _, inputs in parts:
            shape = inputs[name].shape
            if spec.reshaped:
                shape = (shape[0], *spec.to_backend(shape[1:])) if batches else spec.to_backend(shape)
            yield shape

    def _check_batch(self, names: Sequence[str], arrays: Sequence[np.ndarray], total: int) -> None:
        for name, array in zip(names, arrays, strict=True):
            if not array.shape or array.shape[0] != total:
                raise InternalError(
                    f"output '{name}' of model '{self._spec.name}' has shape {list(array.shape)} for a batch of {total}: "
                    "a model with ragged inputs must give a row for each item of a batch (batch_input counts requests, "
                    "so each must have one item), or the output must be listed in batch_output"
                )


def batch_input(spec: BatchInputSpec, shapes: Sequence[Shape]) -> np.ndarray:
    """What a batch input is for requests whose source has these shapes."""
    return _KINDS[spec.kind](shapes).astype(spec.dtype)


def _counts(shapes: Sequence[Shape]) -> list[int]:
    return [prod(shape) for shape in shapes]


def _item_shapes(shapes: Sequence[Shape]) -> np.ndarray:
    """A row for each item of each request."""
    rank = len(shapes[0]) - 1
    rows = np.array([shape[1:] for shape in shapes], np.int64).reshape(len(shapes), rank)
    return np.repeat(rows, [shape[0] for shape in shapes], axis=0)


_KINDS: dict[str, Callable[[Sequence[Shape]], np.ndarray]] = {
    "BATCH_ELEMENT_COUNT": lambda shapes: np.array(_counts(shapes), np.int64),
    "BATCH_ACCUMULATED_ELEMENT_COUNT": lambda shapes: np.cumsum(_counts(shapes)),
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": lambda shapes: np.cumsum([0, *_counts(shapes)]),
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": lambda shapes: np.zeros(max(_counts(shapes))),
    "BATCH_ITEM_SHAPE": _item_shapes,
    "BATCH_ITEM_SHAPE_FLATTEN": lambda shapes: _item_shapes(shapes).reshape(-1),
}
