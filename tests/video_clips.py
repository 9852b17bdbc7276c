"""Clips whose colours change at known times, made with PyAV as a camera would make them."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SIZE = (64, 48)


def plain(colour: Sequence[int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """A frame of one colour."""
    return np.full((size[1], size[0], 3), colour, np.uint8)


def halves(above: Sequence[int], below: Sequence[int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """A frame of two colours."""
    pixels = plain(above, size)
    pixels[size[1] // 2 :] = below
    return pixels


def seconds_of(*parts: tuple[Sequence[int], float], rate: int = 10) -> Iterator[np.ndarray]:
    """Frames of each colour for so many seconds."""
    for colour, seconds in parts:
        yield from [plain(colour)] * round(seconds * rate)


def write_clip(
    path: Path,
    frames: Iterator[np.ndarray] | Sequence[np.ndarray],
    codec: str = "mpeg4",
    pixel_format: str = "yuv420p",
    rate: int = 10,
    times: Sequence[float] = (),
    matrix: Sequence[float] = (),
    options: dict[str, str] | None = None,
    stream_options: dict[str, str] | None = None,
) -> Path:
    """A video file.

    Args:
        times: seconds, one for each frame, where they are not regular.
        matrix: the display matrix, nine integers.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=stream_options or {})
        stream.pix_fmt = pixel_format
        if times:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if matrix:
            stream.set_display_matrix(list(matrix))
        for index, pixels in enumerate(frames):
            if not index:
                stream.height, stream.width = pixels.shape[:2]
            kind = "rgba" if pixels.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(pixels, format=kind)
            if times:
                frame.pts, frame.time_base = round(times[index] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_packets(path: Path, packets: Sequence[bytes], codec: str = "png", size: tuple[int, int] = SIZE) -> Path:
    """A video file of frames that were encoded elsewhere, ten a second; its header says that they have this size."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb24"
        for index, content in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 10)
            container.mux(packet)
    return path


def write_sound(path: Path, cover: bytes = b"", options: dict[str, str] | None = None) -> Path:
    """A sound file of a second, perhaps with a cover picture."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("aac", rate=44100)
        picture = None
        if cover:
            picture = container.add_stream("png", rate=1)
            picture.width, picture.height, picture.pix_fmt = *SIZE, "rgb24"
            picture.disposition = int(av.stream.Disposition.attached_pic)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        samples.rate = 44100
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
        if picture is not None:
            packet = av.Packet(cover)
            packet.stream, packet.pts, packet.dts, packet.time_base = picture, 0, 0, Fraction(1, 1)
            container.mux(packet)
    return path
