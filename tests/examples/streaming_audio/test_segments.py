"""Probabilities become starts and ends."""

from collections.abc import Iterator

import pytest
from segments import End, Start, segments

TENTH = 0.1
"""Seconds of a chunk."""


def found(*probabilities: float, threshold: float = 0.5, min_silence: float = 0.2) -> list[tuple[str, float]]:
    events = segments(probabilities, TENTH, threshold, min_silence)
    return [(type(event).__name__, pytest.approx(event.seconds)) for event in events]


def test_speech_between_silences():
    assert found(0, 0, 0.9, 0.9, 0, 0, 0) == [("Start", 0.17), ("End", 0.43)]


def test_a_short_pause_ends_nothing():
    assert found(0, 0.9, 0, 0.9, 0, 0) == [("Start", 0.07), ("End", 0.43)]


def test_a_probability_just_below_the_threshold_ends_nothing():
    assert found(0, 0.9, 0.4, 0.4, 0.4, 0.9, 0, 0) == [("Start", 0.07), ("End", 0.63)]


def test_just_below_the_threshold_starts_nothing():
    assert found(0, 0.49, 0.49) == []


def test_speech_goes_to_the_end_of_the_sound():
    assert found(0, 0.9, 0.9) == [("Start", 0.07), ("End", 0.3)]
    assert found(0.9, 0.9, 0) == [("Start", 0), ("End", 0.23)]


def test_a_start_is_told_before_the_next_chunk_is_there():
    def live() -> Iterator[float]:
        yield 0.9
        raise AssertionError("asked for more before the start was told")

    assert next(segments(live(), TENTH)) == Start(0.0)


def test_how_long_it_was():
    _, end = segments([0, 0.9, 0.9, 0, 0, 0, 0], TENTH)
    assert end == End(pytest.approx(0.33), pytest.approx(0.26))
