"""A video file, decoded by PyAV: frame after frame, upright, with the times that its file gives them."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from tcli_client.errors import VideoError
from tcli_client.picture import flattened
from tcli_client.video.clock import Clock
from tcli_client.video.damage import BROKEN_OFF, is_cut, not_a_video
from tcli_client.video.frame import Frame, Video
from tcli_client.video.orientation import MATRIX_BYTES, turn

FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mxf,nut,ivf,h264,hevc,m4v,mpegvideo,mjpeg,mpjpeg,dv,rm,wtv,"
    "yuv4mpegpipe,av1,obu"
)
"""What is read, by FFmpeg's names. Not all that FFmpeg knows: playlists, for one, would make it fetch other files."""

MAX_PIXELS = 2**26
"""Largest frame that is decoded: 8192 x 8192; a decoder keeps several."""

_MOST_THREADS = 4
"""That decode: each keeps a frame of its own, and a server may want the rest of the machine."""

_DEFAULT_RATE = 25.0
_BUFFER = 1 << 18


class Clip(Video):
    """The first video stream of a file that is more than a cover."""

    def frames(self) -> Iterator[Frame]:
        path = Path(self.name)
        try:
            with path.open("rb", buffering=0) as file:  # of a pipe it gives what is there, instead of waiting for more
                yield from self._of(file, path)
        except FileNotFoundError:
            raise VideoError("there is no such file") from None
        except av.error.FFmpegError as problem:
            raise not_a_video(path, problem) from None
        except OSError as problem:
            raise VideoError(f"it cannot be read: {problem.strerror or problem}") from None

    def _of(self, file: BinaryIO, path: Path) -> Iterator[Frame]:
        if path.is_file() and not path.stat().st_size:
            raise VideoError("the file is empty")
        options = {"format_whitelist": FORMATS}
        with av.open(file, container_options=options, buffer_size=_BUFFER, metadata_errors="replace") as container:
            stream = _video_stream(container, path)
            codec = stream.codec_context
            if codec is None:
                raise VideoError("its frames are encoded in a way that this build of FFmpeg cannot decode")
            if codec.width * codec.height > MAX_PIXELS:
                raise VideoError(f"its frames of {codec.width} x {codec.height} have more than {MAX_PIXELS:,} pixels")
            codec.options = {"max_pixels": str(MAX_PIXELS)}
            codec.thread_type = "AUTO"
            codec.thread_count = min(_MOST_THREADS, os.cpu_count() or 1)
            step = 1 / float(stream.average_rate or stream.guessed_rate or _DEFAULT_RATE)
            self.duration = container.duration / av.time_base if container.duration else None
            yield from self._decoded(container, stream, step, path)

    def _decoded(self, container: Any, stream: Any, step: float, path: Path) -> Iterator[Frame]:
        clock, reformatter, packets = Clock(step), av.video.reformatter.VideoReformatter(), _Packets(container, stream)
        index = -1
        for index, frame in enumerate(packets.frames()):
            time = clock.of(frame.time)
            shown = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step
            self.end = time + shown
            yield Frame(index, time, shown, partial(_picture, frame, reformatter))
        if packets.problem:
            raise packets.problem
        if packets.ended_within or is_cut(path, stream):
            raise VideoError(BROKEN_OFF)
        if index < 0:
            raise VideoError("the video has no frames")


class _Packets:
    """Decodes one stream, past what is damaged.

    Attributes:
        problem: what the first damage was.
        ended_within: whether the file ended within a packet.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.problem: VideoError | None = None
        self.ended_within = False
        self._container, self._stream = container, stream

    def frames(self) -> Iterator[Any]:
        flushed = False
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except IndexError:  # PyAV's, of a stream that begins in the middle of the file: not the one that is read
                packets = self._container.demux(self._stream)
                continue
            except av.error.FFmpegError as problem:
                self._complain(problem)
                packet = None
            if packet is None:
                break
            if packet.size:
                self.ended_within = packet.is_corrupt
            flushed = not packet.size
            yield from self._decoded(packet)
        if not flushed:
            yield from self._decoded(None)

    def _decoded(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self._stream.decode(packet)
        except EOFError:
            return
        except av.error.FFmpegError as problem:
            self._complain(problem)
            return
        yield from frames

    def _complain(self, problem: av.error.FFmpegError) -> None:
        if self.problem is None:
            what = problem.strerror or str(problem)
            if isinstance(problem, av.error.ArgumentError):
                what += f"; or a frame of more than {MAX_PIXELS:,} pixels"
            self.problem = VideoError(f"the video is truncated or damaged: {what}")


def _video_stream(container: Any, path: Path) -> Any:
    kinds = sorted({stream.type for stream in container.streams})
    if not kinds or (kinds == ["data"] and container.duration is None):
        raise not_a_video(path)
    covers = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & covers:
            return stream
    others = [kind for kind in kinds if kind != "video"]
    raise VideoError(f"there is no video in it, only {' and '.join(others) or 'a cover picture'}")


def _picture(frame: Any, reformatter: Any, mode: str, size: tuple[int, int]) -> Image.Image:  # noqa: ARG001
    transparent = any(component.is_alpha for component in frame.format.components)
    try:
        plain = reformatter.reformat(frame, format="rgba" if transparent else "rgb24")
        picture = Image.fromarray(np.ascontiguousarray(plain.to_ndarray()))
    except (av.error.FFmpegError, ValueError) as problem:
        raise VideoError(f"its pixel format {frame.format.name} cannot be read: {problem}") from None
    picture = flattened(picture, mode)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None or len(bytes(matrix)) != MATRIX_BYTES:
        return picture
    turned = turn(bytes(matrix))
    return picture if turned is None else picture.transpose(turned)
