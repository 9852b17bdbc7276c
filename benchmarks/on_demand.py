"""Many models under a budget for few: `tcli serve --model-control-mode on-demand`, asked at random over HTTP.

python benchmarks/on_demand.py [--models 200] [--fit 20] [--megabytes 8] [--seconds 60] [--clients 8] [--json FILE]

Writes the models to a temporary folder, asks them at random, checks every answer, and watches the memory of the server.
What counts is how much it is larger than without a model, once its libraries are loaded, which is what the budget is for.
Ends with 1 if a request failed, or if that was ever more than 10 % over the budget.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from onnx import TensorProto, helper, numpy_helper

from running import Ports, tcli_serve, write_json


def write_model(repository: Path, number: int, megabytes: float) -> None:
    """OUTPUT0 = INPUT0 ([1]) x a vector of `number` + 1, by way of `megabytes` of weights that no optimizer can drop."""
    width = int((megabytes * 1e6 / 4) ** 0.5)
    weights = np.random.default_rng(number).standard_normal((width, width), np.float32) * np.float32(1e-9)
    nodes = [
        helper.make_node("Expand", ["INPUT0", "SHAPE"], ["WIDE"]),
        helper.make_node("MatMul", ["WIDE", "WEIGHTS"], ["PRODUCT"]),
        helper.make_node("ReduceMean", ["PRODUCT"], ["MEAN"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["INPUT0", "NUMBER"], ["SCALED"]),
        helper.make_node("Add", ["SCALED", "MEAN"], ["OUTPUT0"]),
    ]
    held = [
        numpy_helper.from_array(weights, "WEIGHTS"),
        numpy_helper.from_array(np.array([1, width]), "SHAPE"),
        numpy_helper.from_array(np.array([number + 1], np.float32), "NUMBER"),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("INPUT0", "OUTPUT0")]
    graph = helper.make_graph(nodes, "model", tensors[:1], tensors[1:], held)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    folder = repository / f"m{number}" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@dataclass
class Outcome:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def ask(port: int, models: int, until: float, seed: int, outcome: Outcome) -> None:
    """One client: random models, one request after the other."""
    chance = random.Random(seed)
    while time.monotonic() < until:
        number = chance.randrange(models)
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1], "data": [2.0]}
        body = json.dumps({"inputs": [tensor]}).encode()
        start = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/m{number}/infer", body, 130) as answer:
                value = json.load(answer)["outputs"][0]["data"][0]
        except urllib.error.HTTPError as error:
            outcome.failures.append(f"m{number}: {error.code} {error.read().decode()[:200]}")
        except OSError as error:
            outcome.failures.append(f"m{number}: {error}")
        else:
            outcome.seconds.append(time.monotonic() - start)
            if abs(value - 2 * (number + 1)) > 1e-3:
                outcome.failures.append(f"m{number}: answered {value}")


def metrics(port: int) -> dict[str, float]:
    """The server's on-demand families, summed over models."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("tcli_"):
                name, value = line.split("{")[0].split(" ")[0], float(line.rsplit(" ", 1)[1])
                found[name] = found.get(name, 0) + value
    return found


def watch(server: Ports, until: float, sizes: list[int]) -> None:
    """Read the server's resident memory again and again."""
    process = psutil.Process(server.pid)
    while time.monotonic() < until:
        sizes.append(process.memory_info().rss)
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--fit", type=int, default=20, help="models that the budget has room for")
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    budget = int(args.fit * args.megabytes * 1e6 * 1.02)  # the file of a model has some more than its weights
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.models + 1):
            write_model(Path(folder), number, args.megabytes)
        options = ("--model-control-mode=on-demand", f"--memory-budget={budget}")
        with tcli_serve(Path(folder), *options) as server:
            for order in ("load", "unload"):  # of a model that nobody asks for
                url = f"http://127.0.0.1:{server.http}/v2/repository/models/m{args.models}/{order}"
                urllib.request.urlopen(url, b"{}", 60).close()
            empty = psutil.Process(server.pid).memory_info().rss
            outcome, sizes = Outcome(), []
            until = time.monotonic() + args.seconds
            threads = [
                threading.Thread(target=ask, args=(server.http, args.models, until, seed, outcome))
                for seed in range(args.clients)
            ]
            threads.append(threading.Thread(target=watch, args=(server, until, sizes)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            counted = metrics(server.metrics)
    grown = [size - empty for size in sizes]
    times = sorted(outcome.seconds)
    print(f"{args.models} models of {args.megabytes:g} MB, budget {budget / 1e6:.1f} MB, {args.clients} clients")
    print(f"requests: {len(times)} answered, {len(outcome.failures)} failed")
    print(f"time of a request: median {times[len(times) // 2]:.3f} s, 99 of 100 {times[len(times) * 99 // 100]:.3f} s")
    print("server: " + ", ".join(f"{name.removeprefix('tcli_')} {value:g}" for name, value in sorted(counted.items())))
    late = sorted(grown[len(grown) // 4 :])
    print(
        f"memory beyond the empty server ({empty / 1e6:.1f} MB): median {late[len(late) // 2] / 1e6:.1f} MB, "
        f"most {max(grown) / 1e6:.1f} MB: {max(grown) / budget:.2f} of the budget"
    )
    write_json(
        args.json,
        {
            "seconds": times,
            "failures": outcome.failures,
            "metrics": counted,
            "empty_bytes": empty,
            "grown_bytes": grown,
        },
    )
    for failure in outcome.failures[:10]:
        print(failure)
    return 1 if outcome.failures or max(grown) > 1.1 * budget else 0


if __name__ == "__main__":
    sys.exit(main())
