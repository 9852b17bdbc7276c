"""Reads the `pretrained_cfg` in a `config.json` of timm."""

from tcli_server.backends.image.parameters import EXACT, INTERPOLATIONS, SHORTER_SIDE
from tcli_server.zoo.beside.json_file import BesideError, Json, number, numbers, side, text
from tcli_server.zoo.beside.picture_facts import PictureFacts, Size, cut

_USUAL_SHARE = 0.875


def timm_facts(document: Json) -> PictureFacts:
    """What timm does with a picture before the model, as it evaluates it.

    Raises:
        BesideError: something in it is not what it should be.
    """
    std = numbers(document, "std")
    if std is not None and not all(each > 0 for each in std):
        raise BesideError("its std is not above 0")
    facts = _geometry(document)
    interpolation = text(document, "interpolation")
    return PictureFacts(
        facts.resize,
        facts.resize_to,
        facts.size,
        interpolation if facts.resize and interpolation in INTERPOLATIONS else "",
        False,
        1 / 255,
        numbers(document, "mean"),
        std,
        facts.unlike,
    )


def _geometry(document: Json) -> PictureFacts:
    size = _size(document)
    if size is None:
        return PictureFacts()
    share = number(document, "crop_pct") or _USUAL_SHARE
    if not 0 < share <= 1:
        raise BesideError(f"its crop_pct is {share:g}, expected a share above 0")
    larger = (int(size[0] / share), int(size[1] / share))
    mode = text(document, "crop_mode") or "center"
    if mode == "squash":
        return cut(EXACT, larger, size)
    if mode != "center" or size[0] != size[1]:
        return PictureFacts(size=size, unlike=(f"crop_mode {mode[:20]} of {size[0]}x{size[1]}",))
    return cut(SHORTER_SIDE, larger, size)


def _size(document: Json) -> Size | None:
    """From `[channels, height, width]`."""
    value = document.get("input_size")
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        raise BesideError("its input_size is not [channels, height, width]")
    return side(value[1], "input_size"), side(value[2], "input_size")
