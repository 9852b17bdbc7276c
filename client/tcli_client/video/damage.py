"""What is wrong with a file that is no whole video."""

from pathlib import Path
from typing import Any

from tcli_client.errors import VideoError
from tcli_client.picture_kind import HEAD_BYTES, VIDEO, unreadable_kind

BROKEN_OFF = "the video is truncated: the file ends before the video does"

_BOX = 8
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def not_a_video(path: Path, problem: Exception | None = None) -> VideoError:
    """Why a file cannot be opened, by its first bytes."""
    head = _head(path)
    if head[4:8] == b"ftyp" and _has_index(path):
        return VideoError("the video has no frames")
    if head[4:8] == b"ftyp":
        return VideoError(
            "the video is truncated: its index, which is at the end of the file, is missing",
            "the recording, the copy or the download broke off: fetch the file again",
        )
    kind = unreadable_kind(head, path.suffix.lower())
    if kind is VIDEO:
        return VideoError("the video is truncated or damaged: nothing of it can be read")
    if kind is not None and kind.what:
        return VideoError(f"not a video: it is {kind.what}", kind.fix)
    detail = f" ({getattr(problem, 'strerror', None) or problem})" if problem else ""
    return VideoError(f"not a video, or of a format that is not read{detail}")


def is_cut(path: Path, stream: Any) -> bool:
    """Whether a file is shorter than it says itself. MP4, MOV and AVI have an index, Matroska and WebM a size."""
    if not path.is_file():
        return False
    size = path.stat().st_size
    entries = stream.index_entries
    if len(entries):
        last = entries[len(entries) - 1]
        if last.pos + last.size > size:
            return True
    return size < matroska_size(_head(path))


def matroska_size(head: bytes) -> int:
    """How long a Matroska or WebM file is by its own account; 0 where it does not say."""
    if not head.startswith(_EBML):
        return 0
    start, length = _element(head, len(_EBML))
    at = start + length
    if head[at : at + len(_SEGMENT)] != _SEGMENT:
        return 0
    start, length = _element(head, at + len(_SEGMENT))
    return start + length if length >= 0 else 0


def _has_index(path: Path) -> bool:
    """Whether there is a whole `moov` among the boxes of an MP4 or MOV file, one after the other."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while len(header := file.read(16)) >= _BOX:
            length, kind = int.from_bytes(header[:4], "big"), header[4:_BOX]
            if length == 1:  # a longer number follows
                length = int.from_bytes(header[_BOX:], "big")
            if kind == b"moov":
                return at + length <= size
            if length < _BOX:
                return False
            at += length
            file.seek(at)
    return False


def _element(head: bytes, at: int) -> tuple[int, int]:
    """Where an element's content begins, and its length; -1 for one that was not known when it was written."""
    first = head[at] if at < len(head) else 0
    width = 9 - first.bit_length()
    if width > 8 or at + width > len(head):
        return len(head), -1
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    return at + width, -1 if value == (1 << 7 * width) - 1 else value


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
