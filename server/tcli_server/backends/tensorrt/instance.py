"""One instance: an execution context for each of its profiles, and memory for inputs and outputs that is bound once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tcli_server.backends import Instance
from tcli_server.backends.tensorrt.buffers import Allocator, Buffers
from tcli_server.backends.tensorrt.description import Profile, Range, Shape
from tcli_server.backends.tensorrt.device import Gpu
from tcli_server.backends.tensorrt.profiles import choose_profile, filled_batch
from tcli_server.backends.tensorrt.runtime import Engine, last_error
from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.signature import ModelSignature


@dataclass(slots=True)
class _Context:
    """An execution context, and what it was told already.

    Attributes:
        shapes: of the inputs.
        addresses: of all tensors that have memory of ours.
        allocators: of the outputs that TensorRT asks memory for.
        lent: arrays whose own memory it reads.
    """

    handle: Any
    shapes: dict[str, Shape] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    allocators: dict[str, Allocator] = field(default_factory=dict)
    lent: dict[str, np.ndarray] = field(default_factory=dict)


class TensorRtInstance(Instance):
    """Runs batches of an engine on one stream.

    Args:
        name: its own, for the texts.
        profiles: numbers of those that it chooses from.
        largest: the largest batch that comes; 0 where first dimensions are no batch.
        strategy: TensorRT's name for how a context's memory is had.

    Raises:
        InternalError: the GPU's memory does not suffice, or TensorRT refuses.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        signature: ModelSignature,
        profiles: Sequence[int],
        largest: int,
        strategy: Any,
        gpu: Gpu,
    ) -> None:
        self._name = name
        self._engine = engine
        self._signature = signature
        self._profiles = profiles
        self._batches = largest > 0
        self._gpu = gpu
        self._buffers = Buffers(gpu)
        tensors = engine.description.tensors
        self._dtypes = {tensor.name: BY_NAME[tensor.datatype].dtype for tensor in tensors}
        self._varying = {tensor.name for tensor in tensors if -1 in tensor.shape}
        self._on_host = {tensor.name for tensor in tensors if tensor.on_host}
        self._shape_inputs = [tensor.name for tensor in engine.description.inputs if tensor.is_shape]
        self._contexts = {number: self._context(number, strategy) for number in profiles}
        for number, context in self._contexts.items():
            self._foresee(context, engine.description.profiles[number], largest)

    @property
    def signature(self) -> ModelSignature:
        """As `Instance.signature`."""
        return self._signature

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Refuse what no profile takes, before others share a batch with it."""
        self._chosen(inputs)
        return inputs

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`."""
        number = self._chosen(inputs)
        context = self._contexts[number]
        rows = next(iter(inputs.values())).shape[0] if self._batches else 0
        batch = filled_batch(self._engine.description.profiles[number], rows) if self._batches else 0
        try:
            self._gpu.enter()
            changed = False
            for name, array in inputs.items():
                shape = (batch, *array.shape[1:]) if self._batches else array.shape
                changed = self._give(context, name, np.ascontiguousarray(array), shape) or changed
            if changed:
                self._infer(context)
            self._bind_outputs(context)
            if not context.handle.execute_async_v3(self._gpu.stream):
                raise InternalError(f"TensorRT failed to run {self._name}: {last_error()}")
            answers = [self._take(context, name) for name in outputs]
            self._gpu.wait()
        except ServerError:
            raise
        except Exception as error:  # what TensorRT's binding raises
            raise InternalError(f"TensorRT failed to run {self._name}: {error}") from error
        return [answer[:rows] if batch != rows else answer for answer in answers]

    def close(self) -> None:
        """Free contexts, memory and stream; the engine goes with its last instance."""
        self._gpu.enter()
        self._contexts.clear()
        self._gpu.close()
        del self._engine

    # --- one run ---

    def _chosen(self, inputs: Mapping[str, np.ndarray]) -> int:
        shapes = {name: array.shape for name, array in inputs.items()}
        values = {name: tuple(inputs[name].ravel().tolist()) for name in self._shape_inputs if name in inputs}
        description = self._engine.description
        return choose_profile(description, self._profiles, shapes, values, self._name, self._batches)

    def _give(self, context: _Context, name: str, array: np.ndarray, shape: Shape) -> bool:
        """Put an input where the context reads it; whether that may change the shapes of outputs."""
        if name in self._on_host:
            context.lent[name] = array
            self._bind(context, name, array.ctypes.data)
        else:
            size = math.prod(shape) * self._dtypes[name].itemsize
            address = self._buffers.at_least(name, size, cleared=self._batches)
            self._bind(context, name, address)
            self._gpu.copy_in(address, array)
        return self._set_shape(context, name, shape) or name in self._shape_inputs

    def _set_shape(self, context: _Context, name: str, shape: Shape) -> bool:
        if context.shapes.get(name) == shape:
            return False
        if name in self._varying and not context.handle.set_input_shape(name, shape):
            raise InternalError(
                f"trt failed to set binding dimension to {list(shape)} for input '{name}': {last_error()}"
            )
        context.shapes[name] = shape
        return True

    def _infer(self, context: _Context) -> None:
        """Find out the outputs' shapes; where their values decide about these, TensorRT asks for memory as it runs."""
        unknown = context.handle.infer_shapes()
        if unknown:
            raise InvalidArgumentError(f"TensorRT needs to know more of {', '.join(unknown)} to run {self._name}")
        for tensor in self._engine.description.outputs:
            name = tensor.name
            shape = tuple(context.handle.get_tensor_shape(name))
            if -1 not in shape:
                context.shapes[name] = shape
            elif name not in context.allocators:
                context.allocators[name] = Allocator(self._buffers)
                context.handle.set_output_allocator(name, context.allocators[name])

    def _bind_outputs(self, context: _Context) -> None:
        """Memory for all of them, wanted or not; another profile's batch may have made it larger, and so elsewhere."""
        for tensor in self._engine.description.outputs:
            name = tensor.name
            if name in context.allocators:
                continue
            shape = context.shapes[name]
            if tensor.on_host:
                held = context.lent.get(name)
                if held is None or held.shape != shape:
                    context.lent[name] = np.empty(shape, self._dtypes[name])
                self._bind(context, name, context.lent[name].ctypes.data)
            else:
                size = math.prod(shape) * self._dtypes[name].itemsize
                self._bind(context, name, self._buffers.at_least(name, size))

    def _bind(self, context: _Context, name: str, address: int) -> None:
        if context.addresses.get(name) == address:
            return
        if not context.handle.set_tensor_address(name, address):
            raise InternalError(f"trt failed to set the address of '{name}': {last_error()}")
        context.addresses[name] = address

    def _take(self, context: _Context, name: str) -> np.ndarray:
        """An output in memory of its own, which is complete once the stream is."""
        allocator = context.allocators.get(name)
        if name in self._on_host:
            self._gpu.wait()
            return context.lent[name].copy()
        if allocator is not None:
            self._gpu.wait()  # the shape is known then
        shape = context.shapes[name] if allocator is None else allocator.shape
        array = np.empty(shape, self._dtypes[name])
        self._gpu.copy_out(array, context.addresses[name] if allocator is None else allocator.address)
        return array

    # --- once ---

    def _context(self, number: int, strategy: Any) -> _Context:
        handle = self._engine.handle.create_execution_context(strategy)
        if handle is None:
            raise InternalError(f"unable to create TensorRT context for {self._name}: {last_error()}")
        if number and not handle.set_optimization_profile_async(number, self._gpu.stream):
            raise InternalError(f"unable to set optimization profile {number} for {self._name}: {last_error()}")
        self._gpu.wait()
        return _Context(handle)

    def _foresee(self, context: _Context, profile: Profile, largest: int) -> None:
        """Have memory for the largest batch, so that requests need not wait for it."""
        for tensor in self._engine.description.inputs:
            name, limits = tensor.name, profile.shapes[tensor.name]
            shape = self._largest(limits, largest)
            if tensor.on_host:
                values = profile.values[name].most if name in profile.values else ()
                context.lent[name] = np.array(values, self._dtypes[name]).reshape(shape)
                self._bind(context, name, context.lent[name].ctypes.data)
            else:
                size = math.prod(shape) * self._dtypes[name].itemsize
                self._bind(context, name, self._buffers.at_least(name, size, cleared=self._batches))
            self._set_shape(context, name, shape)
        self._infer(context)
        self._bind_outputs(context)

    def _largest(self, limits: Range, largest: int) -> Shape:
        if not self._batches:
            return limits.most
        return (max(limits.least[0], min(largest, limits.most[0])), *limits.most[1:])
