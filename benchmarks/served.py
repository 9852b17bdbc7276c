"""How much of the engine a client gets: a real model served, against ONNX Runtime alone with the same threads.

    python benchmarks/served.py --repository model_repository [--model efficientnet_lite0] [--rounds 3] [--json FILE]

ONNX Runtime alone runs batch 1 and the model's max_batch_size in a process of its own, and the better of both counts. Rounds
are interleaved, and only the ratios mean anything.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from running import checked_load, tcli_serve, write_json


def engine_alone(model_file: Path, batch: int, threads: int, seconds: float) -> float:
    """Inferences per second of ONNX Runtime in a loop."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
    (node,) = session.get_inputs()
    shape = [batch, *(dim for dim in node.shape[1:])]
    feed = {node.name: np.random.default_rng(0).random(shape, np.float32)}
    names = [output.name for output in session.get_outputs()]
    for _ in range(5):
        session.run(names, feed)
    runs, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        session.run(names, feed)
        runs += 1
    return runs * batch / (time.perf_counter() - start)


def alone_in_a_process(batch: int) -> float:
    command = [sys.executable, __file__, "--alone", str(batch), *sys.argv[1:]]
    return float(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--shape", default="3,224,224", help="one FP32 image, without the batch dimension")
    parser.add_argument("--batch", type=int, default=8, help="the model's max_batch_size")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--protocol", choices=["http", "grpc"], nargs="+", default=["grpc", "http"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    model_file = args.repository / args.model / "1" / "model.onnx"
    from tcli_server.hardware.cores import usable_cores

    if args.alone:
        print(json.dumps(engine_alone(model_file, args.alone, usable_cores(), args.seconds)))
        return
    (name,) = input_names(model_file)
    with tcli_serve(args.repository, "--model-control-mode=explicit", f"--load-model={args.model}") as ports:
        print(f"{'protocol':>8} {'concurrency':>11} {'engine inf/s':>13} {'served inf/s':>13} {'ratio':>6}   (medians)")
        figures = {}
        for protocol in args.protocol:
            for concurrency in args.concurrency:
                pairs = []
                for _ in range(args.rounds):
                    alone = max(alone_in_a_process(batch) for batch in (1, args.batch))
                    inputs = [f"{name}:1,{args.shape}"]
                    served = checked_load(protocol, ports, args.model, inputs, concurrency, args.seconds)
                    pairs.append((alone, served["requests_per_second"]))
                rounds = [{"alone": one, "served": other} for one, other in pairs]
                figures[f"{protocol}, concurrency {concurrency}"] = rounds
                alone, served_rate = median(p[0] for p in pairs), median(p[1] for p in pairs)
                ratio = median(p[1] / p[0] for p in pairs)
                print(f"{protocol:>8} {concurrency:>11} {alone:>13.1f} {served_rate:>13.1f} {ratio:>6.3f}", flush=True)
    write_json(args.json, figures)


def input_names(model_file: Path) -> list[str]:
    from tcli_server.backends.onnxruntime.graph import read_signature

    return [tensor.name for tensor in read_signature(model_file).inputs]


if __name__ == "__main__":
    main()
