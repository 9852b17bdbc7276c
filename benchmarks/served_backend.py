"""How much of a framework a client gets: a model served by its backend, against the framework alone with the same threads.

    python benchmarks/served_backend.py --backend pytorch --perf-analyzer perf_analyzer [--protocol grpc http] [--json FILE]

The load is NVIDIA's perf_analyzer. The model is a small convolutional network (3 x 224 x 224, about 0.9 GFLOP) with random
weights, made by the framework itself. Alone, the framework runs batch 1 and the model's max_batch_size in a process of its
own, and the better of both counts. Rounds are interleaved, and only the ratios mean anything. The last one compares the
processor time that an inference takes, which says more than the rates where others use the machine too.
"""

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

import numpy as np

from running import Ports, settled_successes, tcli_serve, write_json
from tcli_server.hardware.cores import usable_cores

SHAPE = (3, 224, 224)
BATCH = 8
MODEL = "network"
BACKENDS = {
    "pytorch": "framework_models.torchscript",
    "pytorch-exported": "framework_models.exported",
    "tensorflow": "framework_models.tensorflow",
}
"""Where a model of each is made: a module with what `Framework` has."""


class Framework(Protocol):
    """A module of `framework_models`."""

    CONFIG: str
    """What the configuration says besides max_batch_size and batching."""
    THREADS: str
    """The parameter that says how many threads an operator may use."""
    INPUT: str
    """The name of the input, FP32 of `SHAPE`."""

    @staticmethod
    def write(version: Path) -> None:
        """Put the model into its version's folder."""

    @staticmethod
    def alone(version: Path, threads: int) -> Callable[[np.ndarray], object]:
        """Load the model with so many threads; gives what runs a batch."""


def framework(backend: str) -> Framework:
    made: Framework = importlib.import_module(BACKENDS[backend])  # type: ignore[assignment]
    return made


class Pace(NamedTuple):
    """Inferences per second, and per second of processor time."""

    rate: float
    per_cpu: float


def write(repository: Path, chosen: Framework, threads: int) -> None:
    version = repository / MODEL / "1"
    version.mkdir(parents=True)
    chosen.write(version)
    batching = "dynamic_batching { }\ninstance_group [ { count: 1 kind: KIND_CPU } ]"
    limit = f'parameters {{ key: "{chosen.THREADS}" value {{ string_value: "{threads}" }} }}'
    (repository / MODEL / "config.pbtxt").write_text(f"max_batch_size: {BATCH}\n{batching}\n{limit}\n{chosen.CONFIG}")


def alone(repository: Path, chosen: Framework, batch: int, threads: int, seconds: float) -> Pace:
    """The framework in a loop."""
    run = chosen.alone(repository / MODEL / "1", threads)
    feed = np.random.default_rng(0).random((batch, *SHAPE), np.float32)
    for _ in range(5):
        run(feed)
    runs, start, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        run(feed)
        runs += 1
    done = runs * batch
    return Pace(done / (time.perf_counter() - start), done / (time.process_time() - used))


def alone_in_a_process(repository: Path, batch: int) -> Pace:
    command = [sys.executable, __file__, *sys.argv[1:], "--alone", str(batch), "--repository", str(repository)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    return Pace(*json.loads(ran.stdout.splitlines()[-1]))


def served(ports: Ports, protocol: str, program: str, data: Path, concurrency: int, seconds: float) -> Pace:
    """The server under perf_analyzer's load."""
    command = [
        *(program, "-m", MODEL, "-u", f"127.0.0.1:{getattr(ports, protocol)}", "-i", protocol),
        *("--concurrency-range", str(concurrency), "--input-data", str(data)),
        *("-p", str(int(seconds * 1000)), "-s", "1000"),
    ]
    subprocess.run([*command, "-r", "1"], capture_output=True, check=False)  # what it compiles for its first batches
    before, used = settled_successes(ports.http, MODEL), ports.cpu_seconds()
    ran = subprocess.run([*command, "-r", "3"], capture_output=True, text=True, check=False)
    found = re.findall(r"Throughput: ([\d.]+) infer/sec", ran.stdout)
    if not found:
        raise SystemExit(f"perf_analyzer said:\n{ran.stdout}\n{ran.stderr}")
    done = settled_successes(ports.http, MODEL) - before
    return Pace(float(found[-1]), done / (ports.cpu_seconds() - used))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=sorted(BACKENDS), required=True)
    parser.add_argument("--perf-analyzer", default="perf_analyzer")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--protocol", choices=["http", "grpc"], nargs="+", default=["grpc", "http"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of an operator; 0 for the machine's cores")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--repository", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    chosen = framework(args.backend)
    threads = args.threads or usable_cores()
    if args.alone:
        print(json.dumps(alone(args.repository, chosen, args.alone, threads, args.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        repository, data = Path(folder) / "models", Path(folder) / "data"
        write(repository, chosen, threads)
        data.mkdir()
        (data / chosen.INPUT).write_bytes(np.random.default_rng(0).random(SHAPE, np.float32).tobytes())
        print(
            f"{'backend':>17} {'protocol':>8} {'alone inf/s':>12} {'served inf/s':>13} {'ratio':>6} {'of CPU':>7}   (medians)"
        )
        figures = {}
        for protocol in args.protocol:
            pairs: list[tuple[Pace, Pace]] = []
            for _ in range(args.rounds):
                runs = [alone_in_a_process(repository, batch) for batch in (1, BATCH)]
                by_itself = Pace(max(run.rate for run in runs), max(run.per_cpu for run in runs))
                with tcli_serve(repository) as ports:
                    pace = served(ports, protocol, args.perf_analyzer, data, args.concurrency, args.seconds)
                pairs.append((by_itself, pace))
            figures[protocol] = [{"alone": one._asdict(), "served": other._asdict()} for one, other in pairs]
            rates = [median(pair[index].rate for pair in pairs) for index in (0, 1)]
            ratio = median(pace.rate / alone.rate for alone, pace in pairs)
            of_cpu = median(pace.per_cpu / alone.per_cpu for alone, pace in pairs)
            row = f"{args.backend:>17} {protocol:>8} {rates[0]:>12.1f} {rates[1]:>13.1f} {ratio:>6.3f} {of_cpu:>7.3f}"
            print(row, flush=True)
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
