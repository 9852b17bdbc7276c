"""How much memory there is to use: the machine's, or a container's limit."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tcli_server.hardware import memory


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    memory.usable_memory.cache_clear()
    yield
    memory.usable_memory.cache_clear()


@pytest.mark.parametrize(("limit", "expected"), [
    ("1000000\n", 1_000_000), ("max\n", None), ("9223372036854771712\n", None), ("", None),
], ids=["limited", "v2 without limit", "v1 without limit", "unreadable"])  # fmt: skip
@pytest.mark.parametrize("version", [0, 1])
def test_a_container_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, limit: str, expected: int | None
):
    files = [tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"]
    files[version].write_text(limit)
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", files)
    assert memory.usable_memory() == (expected or psutil.virtual_memory().total)


@pytest.mark.skipif(sys.platform != "linux", reason="nowhere else is the limit kept")
@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_process_s_own_limit(kind: str):
    code = f"""
import resource
from tcli_server.hardware.memory import usable_memory
resource.setrlimit(resource.{kind}, (2 << 30, 2 << 30))
print(usable_memory())
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0 < int(output) < 2 << 30
