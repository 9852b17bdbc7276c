"""Mixed traffic for a long time: is anything left of it, and does the memory stay where it is?

    python benchmarks/soak.py [--minutes 30] [--settle 10] [--pace 10] [--json FILE]

Every kind of model and client (`soak_models.py`, `soak_traffic.py`) at a modest pace: HTTP, gRPC, streams, sequences, Python models,
an ensemble, a cache, shared memory, reloads, clients that go in the midst of a request, mistakes. Memory is what
the server and its Python models have of their own, together. At the end: what was not answered rightly, whether the server's counters are the clients', and
the descriptors, threads, processes and segments of shared memory before and after. Linux.
"""

import argparse
import json
import os
import re
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import psutil

from running import Ports, tcli_serve, write_json
from soak_models import write_repository
from soak_traffic import Tally, Traffic

_SAMPLE_SECS = 5.0
_QUIET_SECS = 5.0
"""After the last client, until connections are closed and abandoned requests have run."""

_EXACT = ("add", "cached", "echo", "both", "repeat", "sum")
"""Models that every request reaches, and that are loaded once: their counters must be the clients'."""


def processes(server: Ports) -> list[psutil.Process]:
    """The server and those of its Python models."""
    process = psutil.Process(server.pid)
    return [process, *process.children(recursive=True)]


def megabytes(server: Ports) -> float:
    """Of memory that is theirs alone: what they have of files and libraries is left out, as its share depends on who else runs."""
    kilobytes = 0
    for process in processes(server):
        status = Path(f"/proc/{process.pid}/status").read_text()
        kilobytes += sum(map(int, re.findall(r"^(?:RssAnon|RssShmem):\s+(\d+)", status, re.MULTILINE)))
    return kilobytes / 1e3


def held(server: Ports) -> dict[str, int]:
    """What should be as many before and after."""
    found = processes(server)
    return {
        "descriptors": sum(process.num_fds() for process in found),
        "sockets": sum(len(process.net_connections(kind="inet")) for process in found),
        "processes": len(found),
        "regions": len(_get(server, "/v2/systemsharedmemory/status")),
        "temporary folders": len(list(Path(tempfile.gettempdir()).glob("tcli-*"))),
    }


def segments() -> set[str]:
    """Names of shared memory, of all programs of this machine."""
    return {one.name for one in Path("/dev/shm").iterdir()}


def counters(server: Ports) -> dict[str, dict[str, int]]:
    """Success, failures and inferences that the server counted, by model."""
    found = {}
    for model in _get(server, "/v2/models/stats")["model_stats"]:
        statistics = model["inference_stats"]
        found[model["name"]] = {
            "success": int(statistics["success"].get("count", 0)),
            "fail": int(statistics["fail"].get("count", 0)),
        }
    return found


def _get(server: Ports, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}{path}", timeout=30) as answer:
        return json.load(answer)


def disagreements(tally: Tally, counted: dict[str, dict[str, int]], before: dict[str, dict[str, int]]) -> list[str]:
    """Where clients and server counted differently; what an ensemble asks of its members is part of theirs."""
    expected = dict(tally.answered)
    for member in ("add", "echo"):
        expected[member] += tally.answered["both"]
    found = [
        f"{model}: {expected.get(model, 0)} answered, {own} counted"
        for model in _EXACT
        if (own := counted[model]["success"] - before[model]["success"]) != expected.get(model, 0)
    ]
    seen = sum(counted["slow"].values()) - sum(before["slow"].values())
    if seen > tally.abandoned["slow"]:
        found.append(f"slow: {tally.abandoned['slow']} asked, {seen} counted")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--settle", type=float, default=10, help="minutes at the beginning whose memory is not judged")
    parser.add_argument("--pace", type=float, default=10, help="requests a second of each of nine clients")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    options = (
        "--model-control-mode=explicit",
        "--load-model=*",
        "--allow-client-shm",
        "--cache-config=local,size=1048576",
    )
    with tempfile.TemporaryDirectory() as folder:
        repository = write_repository(Path(folder) / "models")
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # the server's own, to see what it leaves
        with tcli_serve(repository, *options) as server:
            _once(server, repository, args.pace)
            time.sleep(_QUIET_SECS)
            before, counted_before, there = held(server), counters(server), segments()
            traffic = Traffic(server, repository, args.pace)
            samples = []
            begin = time.monotonic()
            traffic.start()
            try:
                while (passed := time.monotonic() - begin) < args.minutes * 60:
                    time.sleep(_SAMPLE_SECS)
                    samples.append((passed, megabytes(server)))
            finally:
                traffic.stop()
            time.sleep(_QUIET_SECS)
            after, counted = held(server), counters(server)
    tally = traffic.tally
    judged = [(at, size) for at, size in samples if at >= args.settle * 60] or samples
    sizes = [size for _, size in judged]
    slope = float(np.polyfit(*np.array(judged).T, 1)[0]) * 60
    print(f"answered {sum(tally.answered.values())}, of each model {dict(tally.answered)}")
    print(f"refused {sum(tally.refused.values())}, abandoned {sum(tally.abandoned.values())}, {dict(tally.operations)}")
    print(
        f"memory {min(sizes):.1f} to {max(sizes):.1f} MB, {mean(sizes):.1f} on average, {slope * 1000:+.1f} kB a minute"
    )
    print(f"before {before}\nafter  {after}\nnew segments of shared memory: {sorted(segments() - there) or 'none'}")
    for text in [*disagreements(tally, counted, counted_before), *tally.faults[:20]]:
        print(f"FAULT {text}")
    write_json(
        args.json,
        {
            "answered": tally.answered, "refused": tally.refused, "abandoned": tally.abandoned,
            "operations": tally.operations, "faults": tally.faults, "samples_mb": samples, "before": before,
            "after": after, "counted": counted,
        },
    )  # fmt: skip


def _once(server: Ports, repository: Path, pace: float) -> None:
    """Each client for some seconds, so that what is made once, such as threads, is there before it is counted."""
    traffic = Traffic(server, repository, pace)
    traffic.start()
    time.sleep(10)
    traffic.stop()


if __name__ == "__main__":
    main()
