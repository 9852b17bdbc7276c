"""Which videos a person means."""

# Names stay as they were given, see `picture_files`.
# ruff: noqa: PTH110, PTH112, PTH113, PTH122, PTH207

import glob
import os
from pathlib import Path

from tcli_client.errors import VideoError
from tcli_client.picture import picture_suffixes
from tcli_client.picture_files import find_pictures
from tcli_client.picture_kind import HEAD_BYTES, UNREADABLE_SUFFIXES, VIDEO, unreadable_kind
from tcli_client.video.folder import FRAME_RATE, FrameFolder
from tcli_client.video.frame import Video

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3g2", "3gp", "asf", "avi", "dv", "f4v", "flv", "h264", "hevc", "ivf", "m2ts", "m4v", "mj2", "mjpeg", "mjpg"),
        *(
            "mkv",
            "mov",
            "mp4",
            "mpeg",
            "mpg",
            "mts",
            "mxf",
            "nut",
            "ogv",
            "qt",
            "rm",
            "ts",
            "vob",
            "webm",
            "wmv",
            "y4m",
        ),
    )
)

MOVING_SUFFIXES = frozenset({".gif", ".apng"})
"""Of pictures that may be videos, where one is asked for."""


def looks_like_video(file: str) -> bool:
    """Whether a file is one by its name or, where that says nothing, by its first bytes."""
    suffix = os.path.splitext(file)[1].lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    if suffix in picture_suffixes() or suffix in UNREADABLE_SUFFIXES or not os.path.isfile(file):
        return False
    try:
        with Path(file).open("rb") as opened:
            kind = unreadable_kind(opened.read(HEAD_BYTES), suffix)
    except OSError:
        return False
    return kind is VIDEO


def looks_like_picture(file: str) -> bool:
    """Whether a file has the name of a picture, and of one that does not move."""
    return os.path.splitext(file)[1].lower() in picture_suffixes() - MOVING_SUFFIXES


def find_videos(argument: str) -> list[str]:
    """The videos behind one argument, as `find_pictures`; but a folder is one video, of which it holds the frames.

    Raises:
        ImageError: as `find_pictures`.
    """
    if os.path.isdir(argument):
        find_pictures(argument)
        return [argument]
    if os.path.exists(argument) or not glob.has_magic(argument):
        return find_pictures(argument)
    matches = sorted(glob.glob(argument, recursive=True))
    return matches or find_pictures(argument)


def open_video(name: str, frame_rate: float = FRAME_RATE) -> Video:
    """A video, whose frames can be had once; nothing is read yet.

    Args:
        name: a file, or a folder of frames.
        frame_rate: frames a second of a folder.

    Raises:
        VideoError: files need PyAV, which is not here; or it is a picture. A file that cannot be read says so when its
            frames are.
    """
    if os.path.isdir(name):
        return FrameFolder(name, frame_rate)
    if os.path.splitext(name)[1].lower() in picture_suffixes() - MOVING_SUFFIXES:
        raise VideoError(
            "it is a picture, not a video", "name the folder to have its pictures as the frames of a video"
        )
    try:
        from tcli_client.video.clip import Clip
    except ImportError as problem:
        if problem.name == "av":
            raise VideoError("to read videos PyAV is missing", 'pip install "tcli[video]"') from None
        raise VideoError(f"to read videos PyAV is needed, which does not load here: {problem}") from None
    return Clip(name)
