"""What becomes of a picture before a model, as it is said beside that model."""

from dataclasses import dataclass

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """x = 0..255 becomes (x * scale - mean) / std; what is not said is None, or empty.

    Attributes:
        resize: as the backend `image` has it: `exact` or `shorter_side`; empty where nothing is said.
        resize_to: before the middle is cut out; of `shorter_side` both are that side.
        size: of what the model gets.
        interpolation: by Pillow's name.
        mean, std: in the order of the model's channels.
        unlike: what it says and the backend `image` does not do.
    """

    resize: str = ""
    resize_to: Size | None = None
    size: Size | None = None
    interpolation: str = ""
    is_bgr: bool = False
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    unlike: tuple[str, ...] = ()


def cut(resize: str, resize_to: Size, size: Size) -> PictureFacts:
    """Facts about the size alone; a picture is never enlarged by borders."""
    if resize_to[0] < size[0] or resize_to[1] < size[1]:
        return PictureFacts(size=size, unlike=(f"borders around a picture of {resize_to[0]}x{resize_to[1]}",))
    return PictureFacts(resize, resize_to, size)
