"""What the server itself costs: a tiny model, served, against the least that a Python server can do (`floor.py`).

    python benchmarks/front_end.py [--protocol http grpc] [--rounds 3] [--seconds 4]

Rounds are interleaved, and only the ratios mean anything: server and load share the processor.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

from floor import add_sub
from running import checked_load, floor_server, load, tcli_serve

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
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as root,
        floor_server() as floor,
        tcli_serve(write_repository(Path(root))) as ours,
    ):
        print(f"{'protocol':>8} {'concurrency':>11} {'floor req/s':>12} {'tcli req/s':>12} {'ratio':>6}   (medians)")
        for protocol in args.protocol:
            for concurrency in (1, 16):
                pairs = []
                for _ in range(args.rounds):
                    measured = (
                        load(protocol, getattr(floor, protocol), "add_sub", INPUTS, concurrency, args.seconds),
                        checked_load(protocol, ours, "add_sub", INPUTS, concurrency, args.seconds),
                    )
                    pairs.append([rates["requests_per_second"] for rates in measured])
                theirs, own = median(p[0] for p in pairs), median(p[1] for p in pairs)
                ratio = median(p[1] / p[0] for p in pairs)
                print(f"{protocol:>8} {concurrency:>11} {theirs:>12.0f} {own:>12.0f} {ratio:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
