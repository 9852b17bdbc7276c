"""How many cores there are to use: by affinity, and by a container's quota."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcli_server.hardware import cores


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cores.usable_cores.cache_clear()
    yield
    cores.usable_cores.cache_clear()


@pytest.mark.parametrize(("quota", "expected"), [
    ("300000 100000\n", 3), ("350000 100000\n", 3), ("100000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", 8),
    ("1600000 100000\n", 8), ("", 8), (None, 8),
])  # fmt: skip
def test_a_container_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, expected: int):
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    monkeypatch.setattr(cores, "_CGROUP_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.usable_cores() == expected


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_a_system_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None, expected: int):
    monkeypatch.setattr(cores, "_CGROUP_QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert cores.usable_cores() == expected
