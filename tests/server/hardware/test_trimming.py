"""A heap that takes long to trim is trimmed seldom."""

from itertools import pairwise

import pytest

from tcli_server.hardware import allocator
from tcli_server.hardware.allocator import Trimming


def test_trimming_takes_a_fifth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch):
    now, trimmed = [100.0], []

    def trim() -> None:
        trimmed.append(now[0])
        now[0] += 0.25

    monkeypatch.setattr(allocator, "trim_heap", trim)
    monkeypatch.setattr(allocator.time, "monotonic", lambda: now[0])
    trimming = Trimming()
    for _ in range(400):
        trimming.now_and_then()
        now[0] += 0.01
    assert trimmed[0] == 100.0
    assert len(trimmed) == 4  # in five seconds
    assert all(later - before >= 1.25 for before, later in pairwise(trimmed))
