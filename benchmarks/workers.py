"""One worker with all cores against several workers that share them: `tcli serve --workers`.

    python benchmarks/workers.py --perf-analyzer perf_analyzer [--workers 2] [--rounds 5] [--seconds 3] [--json FILE]

Serves the scaffold's `efficientnet_lite0` (as it is, and with one instance) and a small `add_sub`. Both servers run, and get load in
turns; NVIDIA's perf_analyzer makes it, with a connection for each request under way, over gRPC too (by itself it puts several on one), so
that the system spreads them over the workers. Prints how they were spread, ratios, processor time per request (of the workers, of that their models'
instances, of the supervisor and of the client) and memory. Servers and
load share the cores, so that only ratios mean anything.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from front_end import write_repository
from running import Ports, settled_successes, tcli_serve, write_json
from tcli_server.zoo import efficientnet_lite0, scaffold_efficientnet_lite0

ONE_INSTANCE = f"{efficientnet_lite0.NAME}_1"
MODELS = (efficientnet_lite0.NAME, ONE_INSTANCE, "add_sub")
CONCURRENCY = 16
INSTANCES = 2
"""The busiest threads of a worker, which are those of the model's instances where it has as many: of `efficientnet_lite0` they are."""
_CHANNEL_EACH = "TRITON_CLIENT_GRPC_CHANNEL_MAX_SHARE_COUNT"


def write_models(root: Path) -> None:
    """The scaffold's model twice, and `add_sub`."""
    write_repository(root)
    scaffold_efficientnet_lite0(root)
    folder, copy = root / efficientnet_lite0.NAME, root / ONE_INSTANCE
    (copy / "1").mkdir(parents=True)
    for file in ("1/model.onnx", *(path.name for path in folder.glob("*.txt"))):
        (copy / file).write_bytes((folder / file).read_bytes())
    config = (folder / "config.pbtxt").read_text().replace(f'"{folder.name}"', f'"{copy.name}"')
    (copy / "config.pbtxt").write_text(config.replace("count: 2", "count: 1"))


class Watched:
    """The processes of a server: the first is the one that was started."""

    def __init__(self, ports: Ports, workers: int) -> None:
        self.ports = ports
        self.main = psutil.Process(ports.pid)
        self.workers = [self.main] if workers == 1 else self.main.children()

    def cpu_seconds(self) -> dict[int, float]:
        """Of each process."""
        return {one.pid: sum(one.cpu_times()[:2]) for one in {self.main, *self.workers}}

    def thread_seconds(self) -> dict[int, dict[int, float]]:
        """Processor time of each thread of each worker."""
        return {
            worker.pid: {thread.id: thread.user_time + thread.system_time for thread in worker.threads()}
            for worker in self.workers
        }

    def memory(self) -> dict[str, float]:
        """MiB of all processes: what only they hold, that of the first one, and all with their part of what is shared."""
        infos = [one.memory_full_info() for one in (self.main, *self.main.children(recursive=True))]
        own, proportional = sum(info.uss for info in infos), sum(info.pss for info in infos)
        return {"own_mib": own / 2**20, "first_mib": infos[0].uss / 2**20, "proportional_mib": proportional / 2**20}


@contextmanager
def servers(repository: Path, workers: int) -> Iterator[dict[int, Watched]]:
    """One worker and several, both running."""
    with tcli_serve(repository) as one, tcli_serve(repository, f"--workers={workers}") as several:
        yield {1: Watched(one, 1), workers: Watched(several, workers)}


def write_inputs(root: Path) -> dict[str, Path]:
    """A folder of raw values for each model: perf_analyzer's own are random bytes, NaN and denormal numbers among them."""
    random = np.random.default_rng(0)
    picture, small = root / "picture", root / "small"
    for folder in (picture, small):
        folder.mkdir()
    (picture / "image").write_bytes(random.uniform(-1, 1, (3, 224, 224)).astype(np.float32).tobytes())
    for name in ("INPUT0", "INPUT1"):
        (small / name).write_bytes(random.random(16).astype(np.float32).tobytes())
    return {model: small if model == "add_sub" else picture for model in MODELS}


def measure(
    program: str, server: Watched, model: str, inputs: Path, protocol: str, seconds: float
) -> dict[str, object]:
    """Requests per second by the server's count, and the processor time of each process for a request."""
    command = [
        *(program, "-m", model, "-i", protocol, "-u", f"127.0.0.1:{getattr(server.ports, protocol)}"),
        *("--concurrency-range", str(CONCURRENCY), "--input-data", str(inputs)),
        *("-p", str(int(1000 * seconds)), "-s", "999", "-r", "3"),
    ]
    counted, before, threads = (
        settled_successes(server.ports.http, model),
        server.cpu_seconds(),
        server.thread_seconds(),
    )
    children, began = os.times(), time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, _CHANNEL_EACH: "1"}, check=False)
    if ended.returncode:
        raise RuntimeError(f"perf_analyzer: {ended.stdout[-1000:]}{ended.stderr[-1000:]}")
    passed, client = time.perf_counter() - began, os.times()
    after, threads_after = server.cpu_seconds(), server.thread_seconds()
    requests = settled_successes(server.ports.http, model) - counted
    rate = float(re.findall(r"throughput: ([0-9.]+) infer/sec", ended.stdout)[-1])
    if not 0 < rate * seconds <= requests:
        raise RuntimeError(f"{model}: {rate}/s in {seconds} s, but the server counted {requests} in {passed:.1f} s")
    used = {pid: after[pid] - before[pid] for pid in before}
    of_workers = [used[worker.pid] for worker in server.workers]
    in_threads = [
        [seconds - threads[pid].get(thread, 0.0) for thread, seconds in of_one.items()]
        for pid, of_one in threads_after.items()
    ]
    of_models = sum(sum(sorted(spent)[-INSTANCES:]) for spent in in_threads)
    of_client = client.children_user + client.children_system - children.children_user - children.children_system
    return {
        "rate": rate,
        "worker_ms": 1e3 * sum(of_workers) / requests,
        "instances_ms": 1e3 * of_models / requests,
        "supervisor_ms": 1e3 * (sum(used.values()) - sum(of_workers)) / requests,
        "client_ms": 1e3 * of_client / requests,
        "spread": [part / sum(of_workers) for part in of_workers],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perf-analyzer", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", choices=MODELS, nargs="+", default=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a load")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    measured: dict[str, dict[int, list[dict[str, object]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(Path(folder))
        write_models(Path(folder) / "models")
        with servers(Path(folder) / "models", args.workers) as both:
            idle = {count: server.memory() for count, server in both.items()}
            for number in range(args.rounds):
                for model, protocol in ((model, protocol) for model in args.model for protocol in ("grpc", "http")):
                    rows = measured.setdefault(f"{model}, {protocol}", {count: [] for count in both})
                    for count in sorted(both, reverse=number % 2 == 1):
                        rows[count].append(
                            measure(args.perf_analyzer, both[count], model, inputs[model], protocol, args.seconds)
                        )
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
            after = {count: server.memory() for count, server in both.items()}
    for name, rows in measured.items():
        report(name, rows, args.workers)
    for when, memory in (("idle", idle), ("after the load", after)):
        for count, held in memory.items():
            own, first, shared = (held[key] for key in ("own_mib", "first_mib", "proportional_mib"))
            print(
                f"MiB {when}, {count} workers: {own:.0f} own ({first:.0f} of the first process), {shared:.0f} with shared"
            )
    write_json(args.json, {"measured": measured, "memory": {"idle": idle, "after": after}})


def report(name: str, rows: dict[int, list[dict[str, Any]]], workers: int) -> None:
    """Medians of one model over one protocol."""
    ratios = [several["rate"] / one["rate"] for one, several in zip(rows[1], rows[workers], strict=True)]
    print(f"{name}: {workers} workers / 1: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    for count, runs in rows.items():
        parts = ("worker", "instances", "supervisor", "client")
        times = ", ".join(f"{part} {median(one[f'{part}_ms'] for one in runs):.3f}" for part in parts)
        spread = max(max(one["spread"]) for one in runs)
        print(
            f"    {count}: {median(one['rate'] for one in runs):.0f}/s, ms a request: {times}, one had {spread:.0%} at most"
        )


if __name__ == "__main__":
    main()
