"""Answers that are too large to be handed to libnghttp2 as a whole: it would keep a copy until the client has taken all."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from tcli_server.protocols.grpc.http2.head import Header
from tcli_server.protocols.grpc.rpc import Message

PIECE = 1 << 18
"""Bytes that are given to libnghttp2, and to the transport, at once: so few are still in the processor's cache when they are sent."""

_MOST = 32
"""Answers of one connection that are held so, as all are looked at before anything is sent; others are handed over as a whole."""


class _Answer:
    __slots__ = ("end", "left", "parts")

    def __init__(self) -> None:
        self.parts: deque[Message] = deque()
        self.left = 0
        self.end: Sequence[Header] | None = None


class LargeAnswers:
    """What is still to be handed over on one connection, by stream.

    Attributes:
        size: bytes of all; 0 only where there is none.
    """

    __slots__ = ("_answers", "size")

    def __init__(self) -> None:
        self._answers: dict[int, _Answer] = {}
        self.size = 0

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._answers

    @property
    def is_full(self) -> bool:
        """No more streams are taken."""
        return len(self._answers) >= _MOST

    def left(self, stream_id: int) -> int:
        """Bytes of a stream's."""
        answer = self._answers.get(stream_id)
        return 0 if answer is None else answer.left

    def add(self, stream_id: int, parts: Iterable[Message]) -> None:
        """Keep these behind what the stream has already."""
        answer = self._answers.get(stream_id)
        if answer is None:
            answer = self._answers[stream_id] = _Answer()
        for part in parts:
            answer.parts.append(part)
            answer.left += len(part)
            self.size += len(part)

    def end(self, stream_id: int, headers: Sequence[Header]) -> None:
        """Have a stream that is in here end with these."""
        self._answers[stream_id].end = headers

    def drop(self, stream_id: int) -> None:
        """Nobody waits for it; it need not be in here."""
        answer = self._answers.pop(stream_id, None)
        if answer is not None:
            self.size -= answer.left

    def feed(
        self, queued: Callable[[int], int], hand_over: Callable[[int, Message, Sequence[Header] | None], None]
    ) -> None:
        """Hand over another piece of each stream of which not much is queued.

        Args:
            queued: bytes of a stream that were handed over and are not sent.
            hand_over: takes a stream, a piece of its data, and what it ends with if that was the last one.
        """
        for stream_id, answer in list(self._answers.items()):
            if queued(stream_id) < PIECE:
                piece = self._piece(answer)
                if not answer.left:
                    del self._answers[stream_id]
                hand_over(stream_id, piece, None if answer.left else answer.end)

    def _piece(self, answer: _Answer) -> Message:
        taken: list[Message] = []
        room = PIECE
        parts = answer.parts
        while parts and room:
            part = parts.popleft()
            if len(part) > room:
                view = memoryview(part)
                parts.appendleft(view[room:])
                part = view[:room]
            taken.append(part)
            room -= len(part)
        answer.left -= PIECE - room
        self.size -= PIECE - room
        return taken[0] if len(taken) == 1 else b"".join(taken)
