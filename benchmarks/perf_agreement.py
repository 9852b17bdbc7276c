"""`tcli perf` against perf_analyzer: same server, same model, same inputs, same load, in turns A B B A.

    python benchmarks/perf_agreement.py --perf-analyzer perf_analyzer --repository model_repository
        [--model efficientnet_lite0] [--protocol http grpc] [--concurrency 1 4] [--rate 20] [--rounds 4] [--seconds 2]
        [--json FILE]

Both measure three windows, write their CSV, and are read by the same lines. The medians of the ratios count: throughput within
5 %, p99 within 10 %, else the exit status is 1. With --url a server that runs already is asked; a tiny model (`--model
add_sub --tiny`) shows what the two generators cost. On a busy machine the ratios of single rounds say how much of it is noise.
"""

import argparse
import contextlib
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from front_end import write_repository
from running import HERE, tcli_serve, write_json
from tcli_client import connect

THROUGHPUT_WITHIN, P99_WITHIN = 0.05, 0.10
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(HERE.parent / name) for name in (".", "server", "client", "analyzer")),
}
OURS = (sys.executable, "-m", "triton_cli", "perf")


@dataclass(frozen=True)
class Pace:
    """What one of them says of one load: inferences per second, and latencies in microseconds."""

    throughput: float
    p50: float
    p99: float


def measure(
    tool: Sequence[str], url: str, protocol: str, model: str, data: Path, load: Sequence[str], seconds: float
) -> Pace:
    """Run one of them.

    Raises:
        SystemExit: it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "results.csv"
        command = [
            *(*tool, "-m", model, "-u", url, "-i", protocol, "--input-data", str(data), *load, "-f", str(table)),
            *("-p", str(int(1000 * seconds)), "-r", "3", "-s", "1000", "--percentile", "99"),
        ]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
        if ran.returncode or not table.exists():
            raise SystemExit(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}")
        with table.open() as file:
            (row,) = csv.DictReader(file)
    return Pace(float(row["Inferences/Second"]), float(row["p50 latency"]), float(row["p99 latency"]))


def write_inputs(url: str, model: str, folder: Path) -> None:
    """A raw file for each input, one item."""
    random = np.random.default_rng(0)
    with connect(url, "http") as server:
        config = server.model_config(model)
    for tensor in config.input:
        if tensor.data_type != config.input[0].data_type or any(dim < 1 for dim in tensor.dims):
            raise SystemExit(f"input {tensor.name} of {model}: only FP32 inputs of one shape are written here")
        (folder / tensor.name).write_bytes(random.random(tuple(tensor.dims), np.float32).tobytes())


@contextlib.contextmanager
def server(args: argparse.Namespace, folder: Path) -> Iterator[dict[str, str]]:
    """Where the server is, by protocol."""
    if args.url:
        yield dict(zip(("http", "grpc"), args.url, strict=True))
        return
    repository = write_repository(folder) if args.tiny else args.repository
    with tcli_serve(repository) as ports:
        yield {"http": f"127.0.0.1:{ports.http}", "grpc": f"127.0.0.1:{ports.grpc}"}


@dataclass(frozen=True)
class Agreement:
    """What both say of one load, by round, ours first, and whether the medians of ours / theirs are near enough to 1."""

    load: str
    rounds: list[tuple[Pace, Pace]]
    agree: bool


def compare(
    args: argparse.Namespace, urls: dict[str, str], protocol: str, load: Sequence[str], data: Path
) -> Agreement:
    """Print the rounds and the medians of one load."""
    theirs = (args.perf_analyzer,)

    def ask(tool: Sequence[str]) -> Pace:
        return measure(tool, urls[protocol], protocol, args.model, data, load, args.seconds)

    ask(OURS)  # what the server compiles or opens once
    pairs = []
    for number in range(args.rounds):
        first, second = (OURS, theirs) if number % 2 == 0 else (theirs, OURS)
        paces = {tool: ask(tool) for tool in (first, second)}
        pairs.append((paces[OURS], paces[theirs]))
        print(
            f"  round {number + 1}: ours {pairs[-1][0].throughput:.1f}/s p99 {pairs[-1][0].p99:.0f} us, "
            f"perf_analyzer {pairs[-1][1].throughput:.1f}/s p99 {pairs[-1][1].p99:.0f} us",
            flush=True,
        )
    throughput = median(ours.throughput / other.throughput for ours, other in pairs)
    p50 = median(ours.p50 / other.p50 for ours, other in pairs)
    p99 = median(ours.p99 / other.p99 for ours, other in pairs)
    agree = abs(throughput - 1) <= THROUGHPUT_WITHIN and abs(p99 - 1) <= P99_WITHIN
    verdict = "agree" if agree else "DIFFER"
    print(f"{protocol:>4} {' '.join(load):<28} throughput x{throughput:.3f}  p50 x{p50:.3f}  p99 x{p99:.3f}  {verdict}")
    return Agreement(f"{protocol} {' '.join(load)}", pairs, agree)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perf-analyzer", required=True, metavar="PATH")
    parser.add_argument("--repository", type=Path, default=HERE.parent / "model_repository")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--tiny", action="store_true", help="serve front_end.py's add_sub instead")
    parser.add_argument("--url", nargs=2, metavar=("HTTP", "GRPC"), help="host:port of a server that runs already")
    parser.add_argument("--protocol", choices=["http", "grpc"], nargs="+", default=["http", "grpc"])
    parser.add_argument("--concurrency", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--rate", type=float, nargs="*", default=[], help="also open loops, constant gaps")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2, help="length of a window; three make a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.tiny:
        args.model = "add_sub"
    loads = [("--concurrency-range", str(concurrency)) for concurrency in args.concurrency]
    loads += [("--request-rate-range", f"{rate:g}") for rate in args.rate]
    with contextlib.ExitStack() as stack:
        models, data = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        urls = stack.enter_context(server(args, models))
        write_inputs(urls["http"], args.model, data)
        found = [compare(args, urls, protocol, load, data) for protocol in args.protocol for load in loads]
    names = ("tcli", "perf_analyzer")
    write_json(
        args.json,
        {one.load: [dict(zip(names, map(asdict, paces), strict=True)) for paces in one.rounds] for one in found},
    )
    sys.exit(0 if all(one.agree for one in found) else 1)


if __name__ == "__main__":
    main()
