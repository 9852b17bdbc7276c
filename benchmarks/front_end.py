"""What the server itself costs: a tiny model, served, against the least that a Python server can do (`floor.py`).

    python benchmarks/front_end.py [--protocol http grpc] [--rounds 3] [--seconds 4]
        [--against CHECKOUT] [--option=OPTION ...] [--json FILE]

With --against it is compared with the server of another checkout of this project instead, for example of the commit
before a change. With --option our server has an option of `tcli serve` more than the other: with --against the same checkout
that shows what the option costs.

Rounds are interleaved, and only the ratios mean anything: server and load share the processor. On a busy machine the
processor time that the server uses for a request says more than the rate.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path
from statistics import median

from floor import add_sub
from running import Ports, checked_load, floor_server, load, tcli_serve, write_json

INPUTS = ["INPUT0:1,16", "INPUT1:1,16"]

CONFIG = """
name: "add_sub"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [
  { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] },
  { name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] }
]
output [
  { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] },
  { name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 16 ] }
]
dynamic_batching {}
instance_group { count: 1 kind: KIND_CPU }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


def write_repository(root: Path) -> Path:
    """A repository with the floor's model."""
    folder = root / "add_sub"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(add_sub())
    (folder / "config.pbtxt").write_text(CONFIG)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=["http", "grpc"], nargs="+", default=["http", "grpc"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="length of one measurement")
    parser.add_argument("--against", type=Path, help="a checkout to compare with, instead of the floor")
    parser.add_argument("--option", action="append", default=[], help="of tcli serve, for our server alone")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        repository = write_repository(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        other = tcli_serve(repository, checkout=args.against) if args.against else floor_server()
        floor, ours = stack.enter_context(other), stack.enter_context(tcli_serve(repository, *args.option))
        name = "before" if args.against else "floor"
        print(
            f"{'protocol':>8} {'concurrency':>11} {name + ' req/s':>12} {'tcli req/s':>12} {'ratio':>6} "
            f"{name + ' CPU us':>13} {'tcli CPU us':>12} {'ratio':>6}   (medians)"
        )
        figures = {}
        for protocol in args.protocol:
            for concurrency in (1, 16):
                rounds = []
                for index in range(args.rounds):
                    servers = (floor, ours) if index % 2 == 0 else (ours, floor)
                    measured = [measure(server, protocol, concurrency, args.seconds) for server in servers]
                    rounds.append(measured if index % 2 == 0 else measured[::-1])
                print(f"{protocol:>8} {concurrency:>11} {row(rounds, 0)} {row(rounds, 1)}", flush=True)
                figures[f"{protocol}, concurrency {concurrency}"] = [
                    dict(zip((name, "tcli"), each, strict=True)) for each in rounds
                ]
    write_json(args.json, figures)


def measure(server: Ports, protocol: str, concurrency: int, seconds: float) -> tuple[float, float]:
    """Requests per second, and the server's processor microseconds for each."""
    before = server.cpu_seconds()
    if server.counts:
        rate = checked_load(protocol, server, "add_sub", INPUTS, concurrency, seconds)
    else:
        rate = load(protocol, getattr(server, protocol), "add_sub", INPUTS, concurrency, seconds)
    return rate["requests_per_second"], (server.cpu_seconds() - before) / rate["requests"] * 1e6


def row(rounds: list[list[tuple[float, float]]], figure: int) -> str:
    """Both servers' medians of a figure, and the median of the ratios."""
    theirs, ours = (median(pair[side][figure] for pair in rounds) for side in (0, 1))
    ratio = median(pair[1][figure] / pair[0][figure] for pair in rounds)
    return f"{theirs:>12.0f} {ours:>12.0f} {ratio:>6.2f}"


if __name__ == "__main__":
    main()
