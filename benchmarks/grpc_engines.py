"""The gRPC server on libnghttp2 and on grpc.aio, against the least that grpc.aio allows (`floor.py`), by NVIDIA's load generator.

    python benchmarks/grpc_engines.py --perf-analyzer perf_analyzer [--rounds 5] [--seconds 1] [--json FILE]

A tiny model (add_sub, [1, 16]) at 1 and 16 calls at once, and 602 KB each way (an identity) at 1; the floor has only the first. Rounds are
interleaved, and only ratios of one run mean anything: load and server share the processor. The server must have counted as many
successes as the load generator says that it got answers.
"""

import argparse
import contextlib
import csv
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import onnx
from onnx import TensorProto, helper

from front_end import write_repository
from running import Ports, floor_server, settled_successes, tcli_serve, write_json

IDENTITY = """
name: "identity"
platform: "onnxruntime_onnx"
max_batch_size: 0
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 1, 150528 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 1, 150528 ] } ]
instance_group { count: 1 kind: KIND_CPU }
"""
WINDOWS = 3


def write_identity(root: Path) -> None:
    """A model that gives back what it gets."""
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 150528]) for name in ("INPUT0", "OUTPUT0")]
    graph = helper.make_graph([helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])], "g", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (root / "identity" / "1").mkdir(parents=True)
    onnx.save(model, root / "identity" / "1" / "model.onnx")
    (root / "identity" / "config.pbtxt").write_text(IDENTITY)


def measure(program: str, server: Ports, model: str, concurrency: int, seconds: float, protocol: str = "grpc") -> float:
    """Inferences a second.

    Raises:
        RuntimeError: the server has counted fewer.
    """
    before = settled_successes(server.http, model) if server.counts else 0
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        command = [
            *(program, "-m", model, "-u", f"127.0.0.1:{getattr(server, protocol)}", "-i", protocol, "-f", str(table)),
            *("--concurrency-range", str(concurrency), "-p", str(int(1000 * seconds)), "-s", "999", "-r", str(WINDOWS)),
        ]
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
        with table.open(encoding="utf-8") as lines:
            rate = float(next(csv.DictReader(lines))["Inferences/Second"])
    if server.counts:
        counted = settled_successes(server.http, model) - before
        if counted < rate * seconds * WINDOWS:
            raise RuntimeError(
                f"{model}: {rate:.0f}/s in {WINDOWS} windows of {seconds} s, but the server counted {counted}"
            )
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perf-analyzer", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a window; there are three")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        repository = write_repository(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        write_identity(repository)
        servers = {
            engine: stack.enter_context(tcli_serve(repository, f"--grpc-engine={engine}"))
            for engine in ("nghttp2", "aio")
        }
        loads = [("add_sub", 1), ("add_sub", 16), ("identity", 1)]
        rates: dict[str, dict[str, list[float]]] = {}
        floor = stack.enter_context(floor_server())
        for number in range(args.rounds):
            for model, concurrency in loads:
                row = rates.setdefault(f"{model}, {concurrency} at once", {})
                for name, server in {**servers, **({"floor": floor} if model == "add_sub" else {})}.items():
                    rate = measure(args.perf_analyzer, server, model, concurrency, args.seconds)
                    row.setdefault(name, []).append(rate)
                    print(f"round {number + 1}: {model}, {concurrency} at once, {name}: {rate:.0f}/s", file=sys.stderr)
        for load, row in rates.items():
            for base in (name for name in row if name != "nghttp2"):
                ratios = sorted(one / other for one, other in zip(row["nghttp2"], row[base], strict=True))
                print(f"{load}: nghttp2 / {base}: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        write_json(args.json, rates)


if __name__ == "__main__":
    main()
