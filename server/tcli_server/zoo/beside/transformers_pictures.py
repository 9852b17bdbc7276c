"""Reads `preprocessor_config.json`, which Hugging Face's image processors are written to."""

from dataclasses import replace

from tcli_server.backends.image.parameters import EXACT, SHORTER_SIDE
from tcli_server.zoo.beside.json_file import BesideError, Json, as_number, flag, number, numbers, side, text
from tcli_server.zoo.beside.picture_facts import PictureFacts, Size, cut

_OF_PICTURES = (
    "size",
    "crop_size",
    "do_resize",
    "do_center_crop",
    "do_rescale",
    "rescale_factor",
    "image_mean",
    "image_std",
)
_INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By Pillow's numbers, which `resample` has."""

_SHORTER_SIDE_PROCESSORS = ("CLIP", "ConvNext", "Levit", "PoolFormer", "MobileNet", "MobileViT", "Bit", "ChineseCLIP")
"""For which a size that is one number is that of the shorter side; for others it is a square."""

_FIRST_SCALED_UP = ("ConvNext",)
"""Which make a picture larger than the model by `crop_pct`, and then cut out its middle, if it is small."""

_SMALL, _USUAL_SHARE = 384, 224 / 256
_DEFAULT_FACTOR = 1 / 255


def is_picture_processor(document: Json) -> bool:
    """Whether it is about pictures, not about sound."""
    name = _name(document)
    return "Image" in name or any(key in document for key in _OF_PICTURES)


def transformers_facts(document: Json) -> PictureFacts:
    """What the processor does.

    Raises:
        BesideError: something in it is not what it should be.
    """
    facts = _geometry(document)
    scale, mean, std = _values(document)
    resample = number(document, "resample")
    unlike = [
        *facts.unlike,
        *(f"{key}" for key in ("do_pad", "do_thumbnail", "do_align_long_axis") if flag(document, key, False)),
    ]
    interpolation = ""
    if resample is not None and facts.resize:
        if not resample.is_integer() or not 0 <= resample < len(_INTERPOLATIONS):
            raise BesideError(f"its resample is {resample:g}, expected 0 to {len(_INTERPOLATIONS) - 1}")
        interpolation = _INTERPOLATIONS[int(resample)]
    return replace(
        facts,
        interpolation=interpolation,
        is_bgr=flag(document, "do_flip_channel_order", False),
        scale=scale,
        mean=mean,
        std=std,
        unlike=tuple(unlike),
    )


def _name(document: Json) -> str:
    return text(document, "image_processor_type") or text(document, "feature_extractor_type")


def _geometry(document: Json) -> PictureFacts:
    crop = _square(document, "crop_size") if flag(document, "do_center_crop", "crop_size" in document) else None
    if not flag(document, "do_resize", "size" in document):
        return PictureFacts(size=crop, unlike=("a cut without a resize",) if crop else ())
    size = document.get("size")
    if size is None:
        return PictureFacts(size=crop)
    if isinstance(size, dict) and size.get("shortest_edge") is not None:
        return _shorter(document, side(size["shortest_edge"], "size.shortest_edge"), crop)
    if not isinstance(size, dict | list) and _name(document).startswith(_SHORTER_SIDE_PROCESSORS):
        return _shorter(document, side(size, "size"), crop)
    exact = _square(document, "size")
    if exact is None:
        return PictureFacts(size=crop, unlike=("a size without height and width",))
    return cut(EXACT, exact, crop or exact)


def _shorter(document: Json, edge: int, crop: Size | None) -> PictureFacts:
    name = _name(document)
    if name.startswith(_FIRST_SCALED_UP) and crop is None:
        share = number(document, "crop_pct")
        if share is not None and not 0 < share <= 1:
            raise BesideError(f"its crop_pct is {share:g}, expected a share above 0")
        if edge >= _SMALL:
            return cut(EXACT, (edge, edge), (edge, edge))
        larger = int(edge / (share or _USUAL_SHARE))
        return cut(SHORTER_SIDE, (larger, larger), (edge, edge))
    if name.startswith("Levit"):
        edge = int(256 / 224 * edge)
    if crop is None:
        return PictureFacts(unlike=("a shorter side without a cut, so that pictures differ in size",))
    return cut(SHORTER_SIDE, (edge, edge), crop)


def _square(document: Json, key: str) -> Size | None:
    """A size that is one number, two, or an object with height and width; None where an object has neither."""
    value = document.get(key)
    if isinstance(value, dict):
        if value.get("height") is None or value.get("width") is None:
            return None
        return side(value["height"], f"{key}.height"), side(value["width"], f"{key}.width")
    if isinstance(value, list):
        if len(value) != 2:
            raise BesideError(f"its {key} is a list of {len(value)}, expected height and width")
        return side(value[0], key), side(value[1], key)
    one = side(value, key)
    return one, one


def _values(document: Json) -> tuple[float | None, tuple[float, ...] | None, tuple[float, ...] | None]:
    """Scale, mean and std; a processor from before `do_rescale` always scaled."""
    scale: float | None = None
    if flag(document, "do_rescale", True):
        factor = document.get("rescale_factor")
        scale = _DEFAULT_FACTOR if factor is None else as_number(factor, "rescale_factor")
        if scale == 0:
            raise BesideError("its rescale_factor is 0")
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    if flag(document, "do_normalize", "image_mean" in document):
        mean, std = numbers(document, "image_mean"), numbers(document, "image_std")
        if std is not None and not all(each > 0 for each in std):
            raise BesideError("its image_std is not above 0")
    if scale is not None and (flag(document, "rescale_offset", False) or flag(document, "offset", False)):
        mean = tuple(each + 1 for each in mean or (0.0,))
    if std is not None and _name(document).startswith("EfficientNet") and flag(document, "include_top", True):
        std = tuple(each * each for each in std)  # it divides a second time
    return scale, mean, std
