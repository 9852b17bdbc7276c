"""gRPC's length-prefixed messages, and their compression.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import gzip
import struct
import zlib
from collections.abc import Callable

from tcli_server.protocols.budget import ByteBudget
from tcli_server.protocols.grpc.errors import Status
from tcli_server.protocols.grpc.options import MAX_MESSAGE_BYTES, CompressionLevel
from tcli_server.protocols.grpc.rpc import Message
from tcli_server.protocols.place import aligned_place

CODINGS = ("gzip", "deflate")

PIECE_BYTES = 64
"""What a piece of data costs besides its bytes."""

_HEAD = struct.Struct(">?I")
_PREFIX = _HEAD.size
_LEVELS: dict[CompressionLevel, int] = {"low": 1, "medium": 6, "high": 9}
_AUTO_DETECT = 32 + zlib.MAX_WBITS
_PIECE = 1 << 16

_WORTH_PLACING = 1 << 16
"""Bytes of a message from which on it is read straight to its place, instead of being joined from what it came in."""

_Found = tuple[bool, Message]


class MessageError(Exception):
    """What came is no message that can be read; `status` says how the call ends."""

    def __init__(self, status: Status, details: str) -> None:
        super().__init__(details)
        self.status = status


class MessageReader:
    """Cuts messages out of the data of one call.

    Args:
        budget: promises the memory of large ones.
        even_at: as `Rpcs.even_at`.

    Attributes:
        unfinished: bytes of a message that has not come to its end.
    """

    __slots__ = ("_budget", "_chunks", "_compressed", "_even_at", "_needed", "_place", "unfinished")

    def __init__(self, budget: ByteBudget, even_at: Callable[[Message], int]) -> None:
        self._budget = budget
        self._even_at = even_at
        self._chunks: list[bytes] = []
        self._place: memoryview | None = None
        self._compressed = False
        self._needed = _PREFIX  # bytes without which nothing can be told
        self.unfinished = 0

    @property
    def held(self) -> int:
        """Bytes of memory, for what is unfinished: each piece that it came in costs some, too."""
        return self.unfinished + PIECE_BYTES * len(self._chunks)

    def feed(self, data: bytes) -> list[_Found]:
        """Take some more, and give the messages that are complete now: whether each is compressed, and its bytes.

        Raises:
            MessageError: a message is larger than allowed, or its prefix is none.
        """
        if self._place is not None:
            return self._fill(self._place, data)
        chunks = self._chunks
        if not chunks and (message := only_message(data)) is not None:  # as nearly always
            return [(False, message)]
        if data:
            chunks.append(data)
            self.unfinished += len(data)
        if self.unfinished < self._needed:
            return []
        if len(chunks[0]) < _PREFIX:
            chunks[:] = [b"".join(chunks)]
        self._needed = _size(chunks[0])
        if self.unfinished < self._needed:
            if self._needed > _WORTH_PLACING and len(chunks) == 1:
                self._find_place(chunks[0])
            return []
        found: list[_Found]
        if self.unfinished == self._needed:
            found = [(chunks[0][0] == 1, b"".join((memoryview(chunks[0])[_PREFIX:], *chunks[1:])))]
            rest = b""
        else:
            found, rest = _cut(b"".join(chunks))
        chunks[:] = [rest] if rest else []
        self.unfinished = len(rest)
        self._needed = _size(rest) if len(rest) >= _PREFIX else _PREFIX
        return found

    def drop(self) -> None:
        """Let go of what has come."""
        self._chunks.clear()
        self._leave_place()
        self._needed, self.unfinished = _PREFIX, 0

    def _find_place(self, start: bytes) -> None:
        """Make room for a message that begins so, within what is not promised to others."""
        size = self._needed - _PREFIX
        if not self._budget.promise(size):
            return
        begun = memoryview(start)[_PREFIX:]
        try:
            place = aligned_place(size, self._even_at(begun))
        except MemoryError:
            self._budget.promised -= size
            return
        place[: len(begun)] = begun
        self._place, self._compressed = place, start[0] == 1
        self._chunks.clear()

    def _fill(self, place: memoryview, data: bytes) -> list[_Found]:
        begin = self.unfinished - _PREFIX
        end = begin + len(data)
        if end < len(place):
            place[begin:end] = data
            self.unfinished += len(data)
            return []
        room = len(place) - begin
        place[begin:] = data if end == len(place) else memoryview(data)[:room]
        found: list[_Found] = [(self._compressed, place.toreadonly())]
        self.drop()
        return found + self.feed(data[room:]) if len(data) > room else found

    def _leave_place(self) -> None:
        if self._place is not None:
            self._budget.promised -= len(self._place)
            self._place = None


def only_message(data: bytes) -> bytes | None:
    """The message, if this is one and nothing else, and not compressed.

    Raises:
        MessageError: a message is larger than allowed.
    """
    if len(data) < _PREFIX or data[0] or _size(data) != len(data):
        return None
    return data[_PREFIX:]


def _cut(data: bytes) -> tuple[list[_Found], bytes]:
    """The messages that it begins with, and what is left."""
    found: list[_Found] = []
    start = 0
    while len(data) - start >= _PREFIX:
        end = start + _size(data[start : start + _PREFIX])
        if end > len(data):
            break
        found.append((data[start] == 1, data[start + _PREFIX : end]))
        start = end
    return found, data[start:]


def _size(start: bytes) -> int:
    """Bytes of the message that begins so, with its prefix."""
    if start[0] > 1:
        raise MessageError(Status.INTERNAL, f"a message begins with {start[0]}, expected 0 or 1")
    size = int.from_bytes(start[1:_PREFIX])
    if size > MAX_MESSAGE_BYTES:
        raise MessageError(
            Status.RESOURCE_EXHAUSTED, f"a message has {size} bytes, expected at most {MAX_MESSAGE_BYTES}"
        )
    return _PREFIX + size


def prefix(compressed: bool, size: int) -> bytes:
    """What comes before a message of so many bytes."""
    return _HEAD.pack(compressed, size)


def compress(message: bytes, coding: str, level: CompressionLevel) -> bytes:
    """Apply one of `CODINGS`."""
    if coding == "gzip":
        return gzip.compress(message, _LEVELS[level], mtime=0)
    return zlib.compress(message, _LEVELS[level])


def decompress(message: Message, limit: int) -> bytes:
    """Undo either of `CODINGS`.

    Raises:
        MessageError: it is damaged, or larger than `limit` bytes.
    """
    decoder = zlib.decompressobj(_AUTO_DETECT)
    view, pieces, room, start = memoryview(message), [], limit, 0
    try:
        for start in range(0, len(view), _PIECE):
            pieces.append(decoder.decompress(view[start : start + _PIECE], room + 1))
            room -= len(pieces[-1])
            if decoder.eof and start + _PIECE < len(view):  # zlib would copy all that follows, again for each piece
                break
            if room < 0:
                raise MessageError(
                    Status.RESOURCE_EXHAUSTED, f"a decompressed message has more than {limit} bytes, which is the limit"
                )
    except zlib.error as error:
        raise MessageError(Status.INTERNAL, f"a message cannot be decompressed: {error}") from None
    if not decoder.eof or decoder.unused_data or start + _PIECE < len(view):
        raise MessageError(Status.INTERNAL, "a message cannot be decompressed: it ends too early or too late")
    return b"".join(pieces)
