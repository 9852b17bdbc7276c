"""How a model takes pictures, as parameters of its configuration: `tcli_image_scaling`, `tcli_image_resize` and others."""

import math
from collections.abc import Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends.image.parameters import EXACT, INTERPOLATIONS, RULES
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.zoo.beside import PictureFacts
from tcli_server.zoo.picture_scaling import SCALING_PARAMETER, SCALINGS

PREFIX = "tcli_image_"
"""Before a parameter of the backend `image`, in the configuration of the model that the pictures are for."""

CARRIED = ("resize", "resize_to", "height", "width", "interpolation", "color_format", "scale", "mean", "std")

VALUES = ("scale", "mean", "std")
"""Those about the values of pixels."""


def carried_parameters(classifier: ModelConfig) -> dict[str, str]:
    """What a classifier's configuration says of pictures, as parameters of the backend `image`."""
    names = {f"{PREFIX}{key}": key for key in CARRIED}
    return {names[key]: parameter.string_value for key, parameter in classifier.parameters.items() if key in names}


def has_values(parameters: Mapping[str, str]) -> bool:
    """Whether the parameters say what becomes of the pixels' values."""
    return any(key in parameters for key in VALUES)


def picture_parameters(
    facts: PictureFacts, config: ModelConfig, shape: tuple[int, ...]
) -> tuple[dict[str, str], list[str]]:
    """The parameters that facts make, and what of these does not fit the model.

    Args:
        shape: height, width and channels of the model's pictures; -1 where they vary.
    """
    notes = [f"{what} is not done here" for what in facts.unlike]
    found = _size(facts, shape[:2], notes)
    if facts.is_bgr:
        found["color_format"] = "BGR"
    found.update(_values(facts, config, shape[2], notes))
    wrong = [key for key, value in found.items() if not RULES[key].fits(value)]
    if wrong:
        notes.append(f"{', '.join(f'{key} {found[key]}' for key in wrong)} cannot be used")
        found = {key: value for key, value in found.items() if key not in wrong}
    named = _named(found)
    if named:
        found = {key: value for key, value in found.items() if key not in VALUES}
    parameters = {f"{PREFIX}{key}": value for key, value in found.items()}
    return ({SCALING_PARAMETER: named} if named else {}) | parameters, notes


def _size(facts: PictureFacts, sides: tuple[int, ...], notes: list[str]) -> dict[str, str]:
    if facts.size is None:
        return {}
    height, width = facts.size
    if any(taken not in (-1, said) for taken, said in zip(sides, facts.size, strict=True)):
        notes.append(
            f"it makes {height}x{width} of a picture, the model takes {sides[0]}x{sides[1]}: it is stretched to that"
        )
        return {}
    found: dict[str, str] = {}
    if -1 in sides:
        found.update(height=str(height), width=str(width))
    if facts.resize_to is not None and (facts.resize != EXACT or facts.resize_to != facts.size):
        tall, wide = facts.resize_to
        found.update(resize=facts.resize, resize_to=str(tall) if facts.resize != EXACT else f"{tall}x{wide}")
    if facts.interpolation and facts.interpolation != INTERPOLATIONS[0]:
        found["interpolation"] = facts.interpolation
    return found


def _values(facts: PictureFacts, config: ModelConfig, channels: int, notes: list[str]) -> dict[str, str]:
    kind = BY_CONFIG_TYPE[config.input[0].data_type].name
    if facts.scale is None and facts.mean is None and facts.std is None:
        return {}
    if not kind.startswith(("FP", "BF")):
        notes.append(f"its scaling makes fractions, which the model's {kind} input cannot hold")
        return {}
    found = {"scale": _factor(facts.scale)} if facts.scale is not None else {}
    for key, numbers in (("mean", facts.mean), ("std", facts.std)):
        if numbers is None:
            continue
        if len(set(numbers)) == 1:
            found[key] = repr(numbers[0])
        elif len(numbers) == channels:
            found[key] = ",".join(map(repr, numbers))
        else:
            notes.append(f"its {key} has {len(numbers)} numbers, the model's pictures have {channels} channel")
    return found


def _factor(scale: float) -> str:
    """`1/255` rather than 0.00392156862745098."""
    whole = round(1 / scale, 6)
    return f"1/{whole:g}" if whole and math.isclose(1 / whole, scale, rel_tol=1e-6) else repr(scale)


def _named(found: Mapping[str, str]) -> str:
    """The scaling of Triton's image clients, or of torchvision's models, that does the same; empty without one."""
    given = _line(found) if "color_format" not in found else None
    return next(
        (name for name, parameters in SCALINGS.items() if parameters and given and _close(given, _line(parameters))), ""
    )


def _line(parameters: Mapping[str, str]) -> list[tuple[float, float]]:
    """What x becomes for each channel: slope and offset."""
    top, _, below = parameters.get("scale", "1").partition("/")
    scale = float(top) / float(below or 1)
    mean, std = (_three(parameters.get(key, default)) for key, default in (("mean", "0"), ("std", "1")))
    return [(scale / deviation, middle / deviation) for middle, deviation in zip(mean, std, strict=True)]


def _three(text: str) -> list[float]:
    values = [float(number) for number in text.split(",")]
    return values * 3 if len(values) == 1 else values


def _close(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> bool:
    return all(
        math.isclose(mine, theirs, rel_tol=1e-6)
        for pair, its in zip(one, other, strict=True)
        for mine, theirs in zip(pair, its, strict=True)
    )
