"""From probabilities to where speech starts and ends, as silero-vad's own `VADIterator` does it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PAD_SECONDS = 0.03
"""A start is put so much earlier and an end so much later, so that the edge of a word is not lost."""

HYSTERESIS = 0.15
"""Speech ends where the probability is so much below the threshold: it does not flicker around it."""


@dataclass(frozen=True)
class Start:
    """Somebody starts to speak, `seconds` after the beginning of the sound."""

    seconds: float


@dataclass(frozen=True)
class End:
    """They end, `seconds` after the beginning, having spoken for `duration` seconds."""

    seconds: float
    duration: float


def segments(
    probabilities: Iterable[float], chunk_seconds: float, threshold: float = 0.5, min_silence: float = 0.3
) -> Iterator[Start | End]:
    """Starts and ends in turn, each as soon as it is sure.

    Args:
        probabilities: of speech, one for each chunk.
        chunk_seconds: how long a chunk is.
        threshold: speech starts at this probability.
        min_silence: a shorter pause, in seconds, ends nothing; an end is known only after it.
    """
    start: float | None = None
    silence: float | None = None
    now = 0.0
    for index, probability in enumerate(probabilities):
        begin, now = index * chunk_seconds, (index + 1) * chunk_seconds
        if probability >= threshold:
            silence = None
            if start is None:
                start = max(0.0, begin - PAD_SECONDS)
                yield Start(start)
        elif start is not None and (silence is not None or probability < threshold - HYSTERESIS):
            silence = begin if silence is None else silence
            if now - silence >= min_silence:
                end = silence + PAD_SECONDS
                yield End(end, end - start)
                start = silence = None
    if start is not None:
        end = now if silence is None else min(now, silence + PAD_SECONDS)
        yield End(end, end - start)
