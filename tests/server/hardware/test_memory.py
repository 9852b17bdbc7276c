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


V2 = {"memory.max": "100000000\n", "memory.current": "90000000\n"}
V1 = {"memory/memory.limit_in_bytes": "100000000\n", "memory/memory.usage_in_bytes": "90000000\n"}


@pytest.mark.parametrize(("files", "expected"), [
    (V2 | {"memory.stat": "anon 1\ninactive_file 30000000\nactive_file 7\n"}, 40_000_000),
    (V1 | {"memory/memory.stat": "inactive_file 7\ntotal_inactive_file 30000000\n"}, 40_000_000),
    (V2 | {"memory.stat": "anon 1\n"}, 10_000_000),
    (V2 | {"memory.current": "100000123\n", "memory.stat": ""}, 0),
    (V2, 100_000_000),
    ({"memory.max": "100000000\n"}, 100_000_000),
], ids=["v2", "v1", "nothing cached", "nothing left", "no statistics", "only a limit"])  # fmt: skip
def test_what_is_left_of_a_containers_limit(tmp_path: Path, files: dict[str, str], expected: int):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.free_memory(tmp_path) == min(expected, psutil.virtual_memory().available)


@pytest.mark.parametrize("limit", ["max\n", None])
def test_without_a_containers_limit_it_is_what_the_machine_has(tmp_path: Path, limit: str | None):
    if limit is not None:
        for name, text in (("memory.max", limit), ("memory.current", "90000000\n"), ("memory.stat", "")):
            (tmp_path / name).write_text(text)
    assert 0 < memory.free_memory(tmp_path) <= memory.usable_memory()


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
