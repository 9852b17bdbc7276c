"""Plays sequences: which request is next in each, with its id and where it begins and ends."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter_ns

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelSequenceBatching

from tcli_analyzer.inputs import Inputs, Requests
from tcli_analyzer.load import DEFAULT_IDLE_SECONDS, Sequences
from tcli_analyzer.target import SequenceMark
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.errors import InvalidArgumentError

DEFAULT_LENGTH = 20
_PREFIX = "sequence-"

_SAFE_SHARE = 0.5
"""Of that time after which a sequence in a pool is given up: it may be over when the next request comes."""


def sequences_of(config: ModelConfig, wanted: Sequences | None = None) -> Sequences | None:
    """How to play sequences to a model; None for one without state.

    Args:
        config: complete.
        wanted: as wanted; ids are made texts where the model wants them like that, and its time-out is the model's.
    """
    if not config.HasField("sequence_batching"):
        return None
    wanted = wanted or Sequences()
    idle = config.sequence_batching.max_sequence_idle_microseconds / 1e6 or DEFAULT_IDLE_SECONDS
    prefix = wanted.prefix or (_PREFIX if _wants_texts(config.sequence_batching) else "")
    return replace(wanted, prefix=prefix, idle_seconds=idle)


def _wants_texts(batching: ModelSequenceBatching) -> bool:
    kind = ModelSequenceBatching.Control.CONTROL_SEQUENCE_CORRID
    controls = [control for listed in batching.control_input for control in listed.control if control.kind == kind]
    return any(
        control.data_type in BY_CONFIG_TYPE and not BY_CONFIG_TYPE[control.data_type].size for control in controls
    )


class Played:
    """One sequence being played; used by one thread at a time.

    Attributes:
        over: its last request was given out.
        rests_ns: since when it waits for its next request, by `perf_counter_ns`.
    """

    __slots__ = ("_done", "_length", "_part", "id", "over", "rests_ns")

    def __init__(self, number: int | str, part: Sequence[int], length: int) -> None:
        self.id = number
        self.over = False
        self.rests_ns = 0
        self._part = part
        self._length = length
        self._done = 0

    def next(self, ending: bool = False) -> tuple[int, SequenceMark]:
        """The next request, by its place, and its mark.

        Args:
            ending: it is the last one, whatever the length.
        """
        place = self._part[self._done % len(self._part)]
        start = self._done == 0
        self._done += 1
        self.over = ending or self._done >= self._length
        return place, SequenceMark(self.id, start, self.over)


class Dealer:
    """Gives out sequences, each to be played by one caller; from any thread.

    Args:
        requests: that they are made of; recorded sequences are played as they are.
    """

    def __init__(self, sequences: Sequences, requests: Sequence[Inputs]) -> None:
        self._sequences = sequences
        self._count = len(requests)
        recorded = requests.lengths if isinstance(requests, Requests) else ()
        starts = np.cumsum([0, *recorded]).tolist()
        self._recorded = [range(start, start + length) for start, length in zip(starts, recorded, strict=False)]
        self._random = np.random.default_rng(sequences.seed)
        self._lock = threading.Lock()
        self._dealt = 0
        self._place = 0
        self._number = sequences.first_id - 1
        self._open: set[int | str] = set()

    def deal(self, instead_of: Played | None = None) -> Played:
        """The next sequence.

        Args:
            instead_of: one that was not played to its end, whose id this one gets: a server then ends it.

        Raises:
            InvalidArgumentError: all ids are those of open sequences.
        """
        with self._lock:
            part, length = self._next_part()
            number = self._next_id() if instead_of is None else instead_of.id
            self._open.add(number)
        return Played(number, part, length)

    def finished(self, played: Played) -> None:
        """It was played, and its id may be given again."""
        with self._lock:
            self._open.discard(played.id)

    def _next_part(self) -> tuple[Sequence[int], int]:
        """The places of its requests, which begin again where it is longer, and how many it sends."""
        if self._recorded:
            part = self._recorded[self._dealt % len(self._recorded)]
            self._dealt += 1
            return part, len(part) if self._sequences.length is None else self._drawn_length()
        length = self._drawn_length()
        first = self._place
        self._place = (first + length) % self._count
        return [place % self._count for place in range(first, first + min(length, self._count))], length

    def _drawn_length(self) -> int:
        mean = self._sequences.length or DEFAULT_LENGTH
        differs = round(mean * self._sequences.variation)
        return max(1, int(self._random.integers(mean - differs, mean + differs, endpoint=True)))

    def _next_id(self) -> int | str:
        sequences = self._sequences
        for _ in range(len(self._open) + 1):  # ids that are open are passed over
            self._number += 1
            if self._number > sequences.last_id:
                self._number = sequences.first_id
            number = f"{sequences.prefix}{self._number}" if sequences.prefix else self._number
            if number not in self._open:
                return number
        raise InvalidArgumentError(
            f"the ids {sequences.first_id} to {sequences.last_id} are too few: a sequence with each of them is open, and "
            "requests wait for one more; allow more ids, or fewer requests at once"
        )


class Pool:
    """Open sequences that take turns, as requests come by a schedule; for one sender, answers from any thread.

    A sequence gets its next request when its last one was answered, as a client waits for its answer: where all wait, one
    more is opened. One that rested so long that the server may have forgotten it begins anew.
    """

    def __init__(self, dealer: Dealer, sequences: Sequences) -> None:
        self._dealer = dealer
        self._size = sequences.pool
        self._longest_ns = int(_SAFE_SHARE * sequences.idle_seconds * 1e9)
        self._lock = threading.Lock()
        self._resting: deque[Played] = deque()
        self._waiting = 0
        self._closed = False

    def take(self) -> Played:
        """A sequence whose turn it is; give it back when it was answered."""
        with self._lock:
            is_full = len(self._resting) + self._waiting >= self._size
            chosen = self._resting.popleft() if is_full and self._resting else None
            self._waiting += 1
        return self._dealer.deal() if chosen is None else self._remembered(chosen)

    def give_back(self, played: Played, failed: bool = False) -> bool:
        """It was answered; a sequence of which a request failed is over.

        Returns:
            It must be ended now, as the pool is closed.
        """
        played.rests_ns = perf_counter_ns()
        with self._lock:
            self._waiting -= 1
            if not played.over and not failed:
                if not self._closed:
                    self._resting.append(played)
                return self._closed
        self._dealer.finished(played)
        return False

    def close(self) -> list[Played]:
        """Those that must be ended now."""
        with self._lock:
            self._closed = True
            found = list(self._resting)
            self._resting.clear()
        return [self._remembered(one) for one in found]

    def _remembered(self, played: Played) -> Played:
        """The sequence, or a new one in its place where the server may have forgotten it."""
        if played.rests_ns < perf_counter_ns() - self._longest_ns:
            return self._dealer.deal(instead_of=played)
        return played
