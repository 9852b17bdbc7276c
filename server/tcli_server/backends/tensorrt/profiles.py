"""Which optimization profile a batch runs by: one whose limits it keeps, and whose best shapes are the nearest."""

from collections.abc import Mapping, Sequence

from tcli_server.backends.tensorrt.description import EngineDescription, Profile, Range, Shape
from tcli_server.errors import InvalidArgumentError


def chosen_profiles(names: Sequence[str], count: int, instance: str) -> tuple[int, ...]:
    """The numbers of an instance's profiles: those that the configuration names, or as in Triton the first one.

    Args:
        names: of `instance_group.profile`, each a number.
        count: profiles that the engine has.
        instance: its name, for the texts.

    Raises:
        InvalidArgumentError: the engine has no such profile.
    """
    numbers = sorted({int(name) for name in names}) or [0]
    if numbers[-1] >= count:
        there = "profile 0 alone" if count == 1 else f"profiles 0 to {count - 1}"
        raise InvalidArgumentError(
            f"instance {instance}: instance_group.profile: found '{numbers[-1]}', expected a profile of the engine, which "
            f"has {there}; fix: write one of these, or build the engine with more profiles"
        )
    return tuple(numbers)


def largest_batch(description: EngineDescription, profiles: Sequence[int]) -> int | None:
    """The largest batch that some profile takes for all inputs; None where the first dimensions are no batch.

    They are one if they vary everywhere; shape tensors have none.
    """
    batched = [tensor for tensor in description.tensors if not tensor.is_shape]
    if not batched or len(batched) < len(description.tensors):
        return None
    if not all(tensor.shape and tensor.shape[0] == -1 for tensor in batched):
        return None
    return max(_most(description.profiles[number]) for number in profiles)


def fixed_batch(description: EngineDescription) -> int | None:
    """The batch that an engine always has if its first dimensions are one: they are the same everywhere."""
    sizes = {tensor.shape[:1] for tensor in description.tensors}
    if len(sizes) != 1 or any(tensor.is_shape for tensor in description.tensors):
        return None
    (size,) = sizes
    return size[0] if size and size[0] > 0 else None


def filled_batch(profile: Profile, rows: int) -> int:
    """The batch that a profile runs where only so many rows have come."""
    return max(rows, *(limits.least[0] for limits in profile.shapes.values()))


def _most(profile: Profile) -> int:
    return min(limits.most[0] for limits in profile.shapes.values())


def choose_profile(
    description: EngineDescription,
    profiles: Sequence[int],
    shapes: Mapping[str, Shape],
    values: Mapping[str, Shape],
    instance: str,
    batches: bool = False,
) -> int:
    """The profile for certain inputs.

    Args:
        profiles: numbers to choose from.
        shapes: of all inputs.
        values: of those that are shape tensors.
        instance: its name, for the texts.
        batches: first dimensions are the batch, which may be smaller than the profile says, as it is filled up.

    Raises:
        InvalidArgumentError: none takes it; with Triton's words.
    """
    best, shortest = -1, 0
    faults = []
    for number in profiles:
        fault, distance = _judge(description.profiles[number], shapes, values, batches)
        if fault:
            faults.append(fault)
        elif best < 0 or distance < shortest:
            best, shortest = number, distance
    if best >= 0:
        return best
    if len(profiles) > 1:
        listed = " ".join(f"{number}[{number}]" for number in profiles)
        raise InvalidArgumentError(
            f"failed to find any Optimization Profile among [ {listed}] to support the requested dimensions (or shape "
            f"values) for {instance}; by the first one: {faults[0]}"
        )
    raise InvalidArgumentError(f"{faults[0]} (instance {instance})")


def _judge(
    profile: Profile, shapes: Mapping[str, Shape], values: Mapping[str, Shape], batches: bool
) -> tuple[str, int]:
    """What is wrong with the inputs, empty for nothing; and how far they are from the best ones."""
    distance = 0
    for name, shape in shapes.items():
        limits = profile.shapes[name]
        fault = _shape_fault(shape, limits, batches)
        if fault:
            return f"request specifies invalid shape for input '{name}'. Error details: {fault}", 0
        distance += _distance(shape, limits.best)
    for name, given in values.items():
        if name in profile.values:
            fault = _value_fault(given, profile.values[name])
            if fault:
                return f"request specifies invalid values for shape input '{name}'. Error details: {fault}", 0
            distance += _distance(given, profile.values[name].best)
    return "", distance


def _distance(one: Shape, other: Shape) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def _shape_fault(shape: Shape, limits: Range, batches: bool) -> str:
    if len(shape) != len(limits.most):
        return f"model expected {len(limits.most)} dimensions but received {len(shape)} dimensions"
    for axis, (size, lowest, most) in enumerate(zip(shape, limits.least, limits.most, strict=True)):
        least = min(1, lowest) if batches and axis == 0 else lowest
        if not least <= size <= most:
            return f"model expected the shape of dimension {axis} to be between {least} and {most} but received {size}"
    return ""


def _value_fault(values: Shape, limits: Range) -> str:
    if len(values) != len(limits.most):
        return f"mismatch between the number of shape values. Expecting {len(limits.most)}. Got {len(values)}"
    for place, (value, least, most) in enumerate(zip(values, limits.least, limits.most, strict=True)):
        if not least <= value <= most:
            return f"the shape value at index {place} is expected to be between {least} and {most}, but got {value}"
    return ""
