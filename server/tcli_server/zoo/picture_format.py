"""Whether a model's input is a picture, as far as its type and dims tell."""

from tritonclient.grpc.model_config_pb2 import ModelInput

from tcli_server.datatypes import BY_CONFIG_TYPE

_CHANNELS = (1, 3, 4)
_PIXEL_TYPES = ("UINT8", "INT8", "FP16", "BF16", "FP32")
_LEAST_SIDE, _LARGEST_SIDE = 16, 16_384
_LONGEST = 8
"""How many times as long as the other one a side may be: a line of text is long, a sound is longer."""


def picture_format(tensor: ModelInput, max_batch_size: int) -> ModelInput.Format:
    """FORMAT_NCHW or FORMAT_NHWC where an input is a picture beyond reasonable doubt, else FORMAT_NONE.

    A picture has channels and two sides that are long enough and not too unequal. With one channel it must be square:
    sound features have one channel and two sides, too. Sides that vary are a picture's only behind a batch dimension,
    and a single one only in NCHW: [-1, 33, 3] are the joints of a body over time. Without batching a first dimension of
    1 is more likely a batch.
    """
    if len(tensor.dims) != 3 or BY_CONFIG_TYPE[tensor.data_type].name not in _PIXEL_TYPES:
        return ModelInput.FORMAT_NONE
    first, middle, last = tensor.dims
    varying = [side for side in (first, middle, last) if side < 0]
    if varying and max_batch_size == 0:
        return ModelInput.FORMAT_NONE
    if _is_picture(first, middle, last) and not (first == 1 and max_batch_size == 0):
        return ModelInput.FORMAT_NCHW
    return ModelInput.FORMAT_NHWC if _is_picture(last, first, middle) and len(varying) != 1 else ModelInput.FORMAT_NONE


def _is_picture(channels: int, height: int, width: int) -> bool:
    if channels not in _CHANNELS:
        return False
    if channels == 1:
        return height == width >= _LEAST_SIDE
    sides = [side for side in (height, width) if side >= 0]
    if any(not _LEAST_SIDE <= side <= _LARGEST_SIDE for side in sides):
        return False
    return len(sides) < 2 or max(sides) <= _LONGEST * min(sides)
