"""What a configuration's parameters say of the pictures that a model takes: `tcli_image_resize` and others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tcli_client.fitting import EXACT, NONE, SHORTER_SIDE, Fitting, Values

PREFIX = "tcli_image_"

_INTERPOLATIONS = ("bilinear", "nearest", "box", "hamming", "bicubic", "lanczos")
_NUMBER = r"[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,2})?"
_NUMBERS = re.compile(rf"\s*{_NUMBER}\s*(?:[,\s]\s*{_NUMBER}\s*){{0,2}}")
_SCALE = re.compile(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER}))?\s*")
_SIZE = re.compile(r"\s*(\d{1,5})\s*(?:x\s*(\d{1,5}))?\s*")
_MOST_SIDE = 16_384


@dataclass(frozen=True)
class PictureParameters:
    """As they were understood.

    Attributes:
        size: height and width for a model that takes any; None where they say nothing.
        values: None where they say nothing.
        notes: what was not understood.
    """

    fitting: Fitting = field(default_factory=Fitting)
    size: tuple[int, int] | None = None
    is_bgr: bool = False
    values: Values | None = None
    notes: tuple[str, ...] = ()


def read_parameters(parameters: Mapping[str, str], channels: int) -> PictureParameters:
    """What there is to read in a configuration's parameters.

    Args:
        channels: of the model's pictures.
    """
    reading = _Reading(parameters, channels)
    fitting = reading.fitting()
    sides = [reading.side(key) for key in ("height", "width")]
    size = (sides[0], sides[1]) if sides[0] and sides[1] else None
    return PictureParameters(
        fitting, size, reading.word("color_format", ("RGB", "BGR")) == "BGR", reading.values(), tuple(reading.notes)
    )


class _Reading:
    """One set of parameters being understood; notes are collected on the way."""

    def __init__(self, parameters: Mapping[str, str], channels: int) -> None:
        self._parameters, self._channels = parameters, channels
        self.notes: list[str] = []

    def word(self, key: str, known: tuple[str, ...]) -> str:
        """One of some words, the first by default."""
        text = self._text(key)
        if not text or text in known:
            return text or known[0]
        self._misread(key, text, ", ".join(known))
        return known[0]

    def side(self, key: str) -> int:
        """A side in pixels, 0 where there is none."""
        text = self._text(key)
        if not text or (_SIZE.fullmatch(text) and "x" not in text and 1 <= int(text) <= _MOST_SIDE):
            return int(text or 0)
        self._misread(key, text, "a side in pixels")
        return 0

    def fitting(self) -> Fitting:
        resize = self.word("resize", (EXACT, SHORTER_SIDE, NONE))
        text = self._text("resize_to")
        match = _SIZE.fullmatch(text)
        sides = [int(side) for side in match.groups(match[1])] if match else []
        if text and (not sides or not all(1 <= side <= _MOST_SIDE for side in sides)):
            self._misread("resize_to", text, "256, or height x width as 256x320")
            sides = []
        interpolation = self.word("interpolation", _INTERPOLATIONS)
        return Fitting(resize, (sides[0], sides[1]) if sides and resize != NONE else None, interpolation)

    def values(self) -> Values | None:
        text = self._text("scale")
        match = _SCALE.fullmatch(text)
        scale = (1.0, 1.0)
        if match and all(float(number) != 0 for number in match.groups("1")):
            scale = (float(match[1]), float(match[2] or 1))
        elif text:
            self._misread("scale", text, "a factor other than 0, as 1/255")
            match = None
        mean, std = self._numbers("mean"), self._numbers("std")
        if std is not None and not all(std):
            self._misread("std", self._text("std"), "numbers other than 0")
            std = None
        return Values(scale, mean, std) if match or mean is not None or std is not None else None

    def _numbers(self, key: str) -> tuple[float, ...] | None:
        text = self._text(key)
        if not text:
            return None
        numbers = tuple(map(float, re.findall(_NUMBER, text))) if _NUMBERS.fullmatch(text) else ()
        if len(numbers) in (1, self._channels):
            return numbers
        self._misread(key, text, f"one number, or {self._channels}")
        return None

    def _text(self, key: str) -> str:
        return self._parameters.get(f"{PREFIX}{key}", "")

    def _misread(self, key: str, text: str, expected: str) -> None:
        self.notes.append(f"{PREFIX}{key} is '{text[:60]}', expected {expected}: it is left out")
