"""A folder of frames: pictures whose names count them."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from tcli_client.errors import ImageError, VideoError
from tcli_client.picture import read_picture
from tcli_client.picture_files import find_pictures
from tcli_client.video.frame import Frame, Video

FRAME_RATE = 25.0
"""Frames a second of a folder that nobody says more about."""


class FrameFolder(Video):
    """The pictures of a folder, in natural order: frame_2.jpg before frame_10.jpg.

    Args:
        rate: frames a second.
    """

    def __init__(self, name: str, rate: float = FRAME_RATE) -> None:
        super().__init__(name)
        self._rate = rate

    def frames(self) -> Iterator[Frame]:
        try:
            files = sorted(find_pictures(self.name), key=_natural)
        except ImageError as problem:
            raise VideoError(str(problem), problem.fix) from None
        self.duration = len(files) / self._rate
        for index, file in enumerate(files):
            self.end = (index + 1) / self._rate
            yield Frame(index, round(index / self._rate, 6), 1 / self._rate, partial(_read, file))


def _read(file: str, mode: str, size: tuple[int, int]) -> Image.Image:
    try:
        return read_picture(file, mode, size)
    except ImageError as problem:
        raise ImageError(f"{Path(file).name}: {problem}", problem.fix) from None


def _natural(file: str) -> list[tuple[int, str]]:
    """Numbers by their value, what is between them by its letters."""
    parts = re.split(r"([0-9]+)", Path(file).stem)
    return [(int(part), "") if position % 2 else (-1, part) for position, part in enumerate(parts)]
