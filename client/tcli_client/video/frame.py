"""What a video is, whatever it is read from: frames one after the other, each with its time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image

from tcli_client.errors import OptionError

_ROUNDING = 1e-6
"""Seconds by which a frame may be early: times are multiples of 1/90000 s and the like, written as floats."""

_FASTEST = 1e6


@dataclass(frozen=True)
class Frame:
    """One frame, not a picture yet.

    Attributes:
        index: counts the video's frames from 0, those among them that are not taken.
        time: seconds since the first frame; never less than that of the frame before.
        seconds: for how long it is shown, as far as the video says; 0 where it does not.
        read: makes a picture of it, as `read_picture`; raises ImageError where only this one has
            none, VideoError where no other will.
    """

    index: int
    time: float
    seconds: float
    read: Callable[[str, tuple[int, int]], Image.Image]


class Video(ABC):
    """A file or a folder whose frames can be had once, in order.

    Attributes:
        name: as it was given.
        duration: seconds, from when its first frame is there; None where the video does not say.
        end: seconds from the first frame to the end of the last that was read.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.duration: float | None = None
        self.end = 0.0

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Its frames, each to be read before the next is taken.

        Raises:
            VideoError: it cannot be read, has no frames, or breaks off; after the last frame that could be read.
        """


@dataclass(frozen=True)
class Sampling:
    """Which frames are taken.

    Attributes:
        every: each so-manieth, from the first.
        rate: of those so many a second, by their times; 0 for all of them.
    """

    every: int = 1
    rate: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.rate < math.inf:
            raise OptionError("a frame is taken of at least 1, and a positive number of them a second")

    def of(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Those of `frames` that are taken."""
        due, rate = 0.0, min(self.rate, _FASTEST)
        for frame in frames:
            if frame.index % self.every:
                continue
            if rate:
                if frame.time + _ROUNDING < due:
                    continue
                due = (math.floor((frame.time + _ROUNDING) * rate) + 1) / rate
            yield frame
