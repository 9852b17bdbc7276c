"""What an engine takes and gives, read once, in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

_TYPES = {"FLOAT": "FP32", "HALF": "FP16"}
"""V2's names where TensorRT has others."""


@dataclass(frozen=True, slots=True)
class Range:
    """The shapes, or the values of a shape tensor, that an optimization profile allows for an input; and the best ones."""

    least: Shape
    best: Shape
    most: Shape


@dataclass(frozen=True, slots=True)
class EngineTensor:
    """One input or output.

    Attributes:
        datatype: V2's name, or TensorRT's where V2 has no such type.
        shape: -1 where it varies.
        is_shape: its values decide about shapes.
        on_host: its memory is the CPU's.
        layout: of what is not one plain row after the other, in TensorRT's words; empty for what is.
    """

    name: str
    is_input: bool
    datatype: str
    shape: Shape
    is_shape: bool = False
    on_host: bool = False
    layout: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One optimization profile.

    Attributes:
        shapes: of each input.
        values: of each input that is a shape tensor.
    """

    shapes: Mapping[str, Range]
    values: Mapping[str, Range]


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """An engine: its inputs and outputs in its own order, and its profiles, of which there is at least one."""

    tensors: tuple[EngineTensor, ...]
    profiles: tuple[Profile, ...]

    @property
    def inputs(self) -> tuple[EngineTensor, ...]:
        """Those that it takes."""
        return tuple(tensor for tensor in self.tensors if tensor.is_input)

    @property
    def outputs(self) -> tuple[EngineTensor, ...]:
        """Those that it gives."""
        return tuple(tensor for tensor in self.tensors if not tensor.is_input)


def describe(engine: Any) -> EngineDescription:
    """Read a `tensorrt.ICudaEngine`."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    tensors = tuple(_tensor(engine, name) for name in names)
    inputs = [tensor for tensor in tensors if tensor.is_input]
    profiles = tuple(_profile(engine, index, inputs) for index in range(engine.num_optimization_profiles))
    return EngineDescription(tensors, profiles)


def _tensor(engine: Any, name: str) -> EngineTensor:
    kind = engine.get_tensor_dtype(name).name
    linear = engine.get_tensor_format(name).name == "LINEAR"
    return EngineTensor(
        name,
        engine.get_tensor_mode(name).name == "INPUT",
        _TYPES.get(kind, kind),
        tuple(engine.get_tensor_shape(name)),
        bool(engine.is_shape_inference_io(name)),
        engine.get_tensor_location(name).name == "HOST",
        "" if linear else str(engine.get_tensor_format_desc(name)),
    )


def _profile(engine: Any, index: int, inputs: list[EngineTensor]) -> Profile:
    shapes, values = {}, {}
    for tensor in inputs:
        if tensor.is_shape:
            found = engine.get_tensor_profile_values(index, tensor.name)
            if found:
                values[tensor.name] = Range(*(tuple(row) for row in found))
        limits = [tuple(row) for row in engine.get_tensor_profile_shape(tensor.name, index)]
        # An input of one shape need not be in a profile.
        shapes[tensor.name] = Range(*limits) if len(limits) == 3 else Range(*[tensor.shape] * 3)
    return Profile(shapes, values)
