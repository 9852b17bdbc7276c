"""What a configuration says of pictures: the parameters of this backend, and the output that they make."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_server.backends.complaint import SWITCH, Complaint, Rule, choice, count, is_on, parameter_complaints
from tcli_server.backends.image.kind import IMAGE
from tcli_server.datatypes import BY_CONFIG_TYPE

EXACT, SHORTER_SIDE, NONE = "exact", "shorter_side", "none"
INTERPOLATIONS = ("bilinear", "nearest", "box", "hamming", "bicubic", "lanczos")

DEFAULT_INPUT, DEFAULT_OUTPUT = "IMAGE", "PIXELS"
DEFAULT_SIDE = 224
DEFAULT_MAX_PIXELS = 1 << 26
DEFAULT_MAX_BYTES = 1 << 26
_MOST_SIDE = 16_384
_DATATYPES = ("FP32", "FP16", "UINT8")

_NUMBER = r"[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,2})?"
_NUMBERS = re.compile(rf"\s*{_NUMBER}\s*(?:[,\s]\s*{_NUMBER}\s*){{0,2}}")
_SCALE = re.compile(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER}))?\s*")
_SIZE = re.compile(r"\s*(\d{1,5})\s*(?:x\s*(\d{1,5}))?\s*")


class Scale(NamedTuple):
    """A factor as it is written: `1/255`."""

    numerator: float
    denominator: float


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in re.findall(_NUMBER, text))


def _is_scale(text: str) -> bool:
    match = _SCALE.fullmatch(text)
    return match is not None and all(float(number) != 0 for number in match.groups("1"))


def _is_size(text: str) -> bool:
    match = _SIZE.fullmatch(text)
    return match is not None and all(1 <= int(side) <= _MOST_SIDE for side in match.groups("1"))


def _is_std(text: str) -> bool:
    return _NUMBERS.fullmatch(text) is not None and all(_numbers(text))


_SIDE = count(f"a side in pixels, 1 to {_MOST_SIDE}", _MOST_SIDE, 1)

RULES = {
    "height": _SIDE._replace(example="224"),
    "width": _SIDE._replace(example="224"),
    "layout": choice("NCHW", "NHWC"),
    "color_format": choice("RGB", "BGR", "GRAY"),
    "exif_transpose": SWITCH,
    "resize": choice(EXACT, SHORTER_SIDE, NONE),
    "resize_to": Rule(f"pixels, 1 to {_MOST_SIDE}: 256, or height x width as 256x320", "256", _is_size),
    "interpolation": choice(*INTERPOLATIONS),
    "scale": Rule("a factor other than 0, as 1/255 or 0.0039", "1/255", _is_scale),
    "mean": Rule(
        "one number, or one for each channel", "0.485,0.456,0.406", lambda text: bool(_NUMBERS.fullmatch(text))
    ),
    "std": Rule("one number, or one for each channel, none of them 0", "0.229,0.224,0.225", _is_std),
    "max_pixels": count("a number of pixels, 1 to 1073741824", 1 << 30, 1)._replace(example=str(DEFAULT_MAX_PIXELS)),
    "max_bytes": count("a number of bytes, 1 to 1073741824", 1 << 30, 1)._replace(example=str(DEFAULT_MAX_BYTES)),
}
"""Parameter -> what it takes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a picture.

    Attributes:
        input: the name of the tensor of encoded pictures.
        output: the name of the tensor of pixels.
        datatype: of the output: FP32, FP16 or UINT8.
        shape: of one picture in the output.
        channels_first: NCHW, else NHWC.
        color_format: RGB, BGR or GRAY.
        resize: `exact`, `shorter_side` or `none`; what is larger than the output afterwards loses its borders.
        resize_to: height and width of `exact`; for `shorter_side` both are that side.
        scale: x * scale, then - mean, then / std, for x = 0..255; None where nothing is done. Mean and std are in the order
            of the output's channels.
    """

    input: str
    output: str
    datatype: str
    height: int
    width: int
    channels_first: bool
    color_format: str
    exif_transpose: bool
    resize: str
    resize_to: tuple[int, int]
    interpolation: str
    scale: Scale | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    max_pixels: int
    max_bytes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        channels = _channels(self.color_format)
        if self.channels_first:
            return (channels, self.height, self.width)
        return (self.height, self.width, channels)


def complaints(config: ModelConfig) -> list[Complaint]:
    """What is wrong with the parameters, or with an output that goes by them."""
    found = [*parameter_complaints(config, RULES, IMAGE.name), *_needless(config)]
    if found:
        return found
    if len(config.output) == 1:  # any more are told from the signature
        found += _output_complaints(config)
    return found or list(_contradictions(config))


def read_plan(config: ModelConfig) -> Plan:
    """The plan of a configuration without complaints; the output's dims count where parameters are left out."""
    values = _values(config)
    shape = _given_shape(config)
    channels_first = _channels_first(values, shape)
    height, width = _size(values, shape, channels_first)
    resize = values.get("resize", EXACT)
    larger = max(height, width)
    resize_to = (larger, larger) if resize == SHORTER_SIDE else (height, width)
    if "resize_to" in values:
        match = _SIZE.fullmatch(values["resize_to"])
        assert match is not None
        resize_to = (int(match[1]), int(match[2] or match[1]))
    return Plan(
        input=config.input[0].name if config.input else DEFAULT_INPUT,
        output=config.output[0].name if config.output else DEFAULT_OUTPUT,
        datatype=BY_CONFIG_TYPE[config.output[0].data_type].name if config.output else _DATATYPES[0],
        height=height,
        width=width,
        channels_first=channels_first,
        color_format=_color_format(values, shape),
        exif_transpose=is_on(values.get("exif_transpose", "true")),
        resize=resize,
        resize_to=resize_to,
        interpolation=values.get("interpolation", INTERPOLATIONS[0]),
        scale=_scale(values["scale"]) if "scale" in values else None,
        mean=_numbers(values["mean"]) if "mean" in values else None,
        std=_numbers(values["std"]) if "std" in values else None,
        max_pixels=int(values.get("max_pixels", DEFAULT_MAX_PIXELS)),
        max_bytes=int(values.get("max_bytes", DEFAULT_MAX_BYTES)),
    )


def _values(config: ModelConfig) -> dict[str, str]:
    return {key: parameter.string_value for key, parameter in config.parameters.items()}


def _scale(text: str) -> Scale:
    match = _SCALE.fullmatch(text)
    assert match is not None
    return Scale(float(match[1]), float(match[2] or 1))


def _channels(color_format: str) -> int:
    return 1 if color_format == "GRAY" else 3


def _given_shape(config: ModelConfig) -> tuple[int, ...] | None:
    """The shape of one picture in the output, as the configuration has it."""
    if not config.output:
        return None
    output = config.output[0]
    return tuple(output.reshape.shape if output.HasField("reshape") else output.dims)


def _channels_first(values: dict[str, str], shape: tuple[int, ...] | None) -> bool:
    if "layout" in values:
        return values["layout"] == "NCHW"
    return shape is None or shape[0] in (1, 3) or shape[2] not in (1, 3)


def _color_format(values: dict[str, str], shape: tuple[int, ...] | None) -> str:
    default = "RGB"
    if shape is not None and shape[0 if _channels_first(values, shape) else 2] == 1:
        default = "GRAY"
    return values.get("color_format", default)


def _size(values: dict[str, str], shape: tuple[int, ...] | None, channels_first: bool) -> tuple[int, int]:
    given = (DEFAULT_SIDE, DEFAULT_SIDE) if shape is None else shape[1:] if channels_first else shape[:2]
    return int(values.get("height", given[0])), int(values.get("width", given[1]))


def _needless(config: ModelConfig) -> Iterator[Complaint]:
    """What other models have, and these have not."""
    if config.default_model_filename:
        found = f"'{config.default_model_filename}'"
        yield Complaint("default_model_filename", found, "nothing, as there is no model file", "remove it")
    for index, group in enumerate(config.instance_group):
        if group.kind == ModelInstanceGroup.KIND_GPU:
            expected = "KIND_CPU, where pictures are decoded"
            yield Complaint(f"instance_group[{index}].kind", "KIND_GPU", expected, "write kind: KIND_CPU")


def _output_complaints(config: ModelConfig) -> Iterator[Complaint]:
    output = config.output[0]
    kind = BY_CONFIG_TYPE.get(output.data_type)
    if kind is None or kind.name not in _DATATYPES:
        found = f"TYPE_{kind.name}" if kind is not None else "no data type"
        found = found.replace("TYPE_BYTES", "TYPE_STRING")
        yield Complaint("output[0].data_type", found, "TYPE_FP32, TYPE_FP16 or TYPE_UINT8", "write one of these")
    shape = _given_shape(config) or ()
    values = _values(config)
    field = "output[0].reshape.shape" if output.HasField("reshape") else "output[0].dims"
    expected = "[3, height, width] or [height, width, 3] (1 for grey)"
    if len(shape) != 3 or not all(1 <= side <= _MOST_SIDE for side in shape):
        yield Complaint(field, str(list(shape)), expected, "write the size of the pictures that the model takes")
        return
    channels_first = _channels_first(values, shape)
    wanted = read_plan(config).shape
    if wanted != shape or shape[0 if channels_first else 2] not in (1, 3):
        parameters = [key for key in ("height", "width", "layout", "color_format") if key in values]
        if not parameters:
            yield Complaint(field, str(list(shape)), expected, "write the size of the pictures that the model takes")
            return
        which = ", ".join(parameters)
        fix = f"write dims: [ {', '.join(map(str, wanted))} ], or remove {which}, which the dims tell"
        yield Complaint(field, str(list(shape)), f"{list(wanted)}, by the parameters {which}", fix)


def _contradictions(config: ModelConfig) -> Iterator[Complaint]:
    values, plan = _values(config), read_plan(config)
    channels = _channels(plan.color_format)
    for key in ("mean", "std"):
        if key in values and len(_numbers(values[key])) not in (1, channels):
            count_ = f"{len(_numbers(values[key]))} numbers for {channels} channel{'s' * (channels != 1)}"
            yield Complaint(f'parameters["{key}"]', count_, RULES[key].expected, "write one number for all channels")
        if key in values and plan.datatype == "UINT8":
            expected = "a floating-point output, as the results are fractions or below 0"
            yield Complaint(f'parameters["{key}"]', "TYPE_UINT8 output", expected, "remove it, or write TYPE_FP32")
    if plan.scale is not None and plan.datatype == "UINT8":
        expected = "a floating-point output, as the results are fractions"
        yield Complaint('parameters["scale"]', "TYPE_UINT8 output", expected, "remove it, or write TYPE_FP32")
    if "resize_to" not in values:
        return
    field, text = 'parameters["resize_to"]', values["resize_to"]
    if plan.resize == NONE:
        yield Complaint(field, f"'{text}' with resize \"{NONE}\"", "nothing, or another resize", "remove it")
    elif plan.resize == SHORTER_SIDE and "x" in text:
        yield Complaint(field, f"'{text}'", "the shorter side alone, as 256", f'write resize: "{EXACT}", or one number')
    elif plan.resize_to[0] < plan.height or plan.resize_to[1] < plan.width:
        expected = f"at least the output's {plan.height}x{plan.width}, which is then cut out of its middle"
        yield Complaint(field, f"'{text}'", expected, "write a larger one, or remove it")
