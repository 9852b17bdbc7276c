"""The named scalings of pixel values, as parameters of the backend `image`."""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.errors import InvalidArgumentError

SCALING_PARAMETER = "tcli_image_scaling"
"""The parameter of a classifier that names the scaling that it was trained with."""

SCALINGS: dict[str, dict[str, str]] = {
    "NONE": {},
    "INCEPTION": {"scale": "1/127.5", "mean": "1"},
    "VGG": {"mean": "123,117,104"},
    "IMAGENET": {"scale": "1/255", "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"},
}
"""By the names that `tcli infer` has for them; for R, G, B."""

_GREY = {"VGG": {"mean": "128"}, "IMAGENET": {"scale": "1/255", "mean": "0.449", "std": "0.226"}}


def scaling_parameters(
    classifier: ModelConfig, scaling: str | None, channels: int, color_format: str
) -> dict[str, str]:
    """What makes pixels of a scaling: the one that is wanted, else what the classifier says, else as `tcli infer` assumes.

    Raises:
        InvalidArgumentError: there is no scaling of that name.
    """
    name = (scaling or _named(classifier) or _assumed(classifier)).upper()
    known = SCALINGS.get(name)
    if known is None:
        raise InvalidArgumentError(f"there is no scaling '{name}': expected {', '.join(SCALINGS)}")
    if channels == 1:
        known = _GREY.get(name, known)
    if color_format != "BGR":
        return dict(known)
    return {key: ",".join(reversed(value.split(","))) for key, value in known.items()}


def _named(classifier: ModelConfig) -> str:
    there = SCALING_PARAMETER in classifier.parameters  # to read an entry of a map is to make it
    return classifier.parameters[SCALING_PARAMETER].string_value if there else ""


def _assumed(classifier: ModelConfig) -> str:
    return "INCEPTION" if BY_CONFIG_TYPE[classifier.input[0].data_type].name.startswith("FP") else "NONE"
