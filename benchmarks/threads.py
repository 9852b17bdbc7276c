"""Whether instances and models share the cores, or fight for them.

    python benchmarks/threads.py [--rounds 3] [--seconds 1] [--json FILE]

1. The scaffold's two models with 1, 2 and 4 instances and no thread parameters, against 1 instance, which has all cores.
2. Both models under load at once, each with one instance as wide as the machine: the parts of what each does alone, whose sum
   is 1 if they share the time without loss. With ONNX Runtime's spinning threads, and without.

One server has all of them, the load goes over HTTP, and its answers are held against the server's counts. Rounds are interleaved,
and only the ratios mean anything: server and load share the cores.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from running import Ports, checked_load, tcli_serve, write_json
from tcli_server.zoo import densenet_onnx, efficientnet_lite0, scaffold_efficientnet_lite0

INPUTS = {"efficientnet_lite0": "image:1,3,224,224", "densenet_onnx": "data_0:3,224,224"}
INSTANCES, CONCURRENCY, TOGETHER = (1, 2, 4), (1, 4, 16), 8
CALM = """
parameters { key: "session.intra_op.allow_spinning" value { string_value: "0" } }
"""
SPINNING = {"spinning": "1", "calm": "1_calm"}
"""Words for the report, and the ends of the names of the models with one instance."""


def write_repository(root: Path) -> None:
    """Each model with each count of instances; `efficientnet_lite0` has 2 as the scaffold writes it, `densenet_onnx` 1."""
    scaffold_efficientnet_lite0(root / "scaffold")
    folder = root / "scaffold" / efficientnet_lite0.NAME
    written = (folder / "config.pbtxt").read_text().replace("instance_group [ { count: 2 } ]", "")
    models = {
        efficientnet_lite0.NAME: (written, (folder / "1" / "model.onnx").read_bytes()),
        densenet_onnx.NAME: (
            densenet_onnx.PLACEHOLDER_CONFIG,
            densenet_onnx.build_placeholder().SerializeToString(),
        ),
    }
    labels = {path.name: path.read_bytes() for path in folder.glob("*.txt")}
    for model, (config, graph) in models.items():
        for suffix in (*map(str, INSTANCES), *SPINNING.values()):
            copy = root / "models" / f"{model}_{suffix}"
            (copy / "1").mkdir(parents=True, exist_ok=True)
            (copy / "1" / "model.onnx").write_bytes(graph)
            for name, text in labels.items():
                (copy / name).write_bytes(text)
            (copy / "densenet_labels.txt").write_bytes(next(iter(labels.values())))
            group = f"\ninstance_group {{ count: {suffix[0]} }}\n" + (CALM if suffix.endswith("calm") else "")
            (copy / "config.pbtxt").write_text(config.replace(f'"{model}"', f'"{copy.name}"') + group)


def rate(ports: Ports, model: str, suffix: str, concurrency: int, seconds: float) -> float:
    measured = checked_load("http", ports, f"{model}_{suffix}", [INPUTS[model]], concurrency, seconds)
    return measured["requests_per_second"]


def instances_round(ports: Ports, seconds: float) -> dict[str, float]:
    """Requests per second of each count of instances at each concurrency."""
    return {
        f"{model}, concurrency {concurrency}, instances {count}": rate(ports, model, str(count), concurrency, seconds)
        for model in INPUTS
        for concurrency in CONCURRENCY
        for count in INSTANCES
    }


def together_round(ports: Ports, seconds: float) -> dict[str, float]:
    """Requests per second of each model alone and beside the other."""
    rates = {}
    for word, suffix in SPINNING.items():
        for model in INPUTS:
            rates[f"{word}, {model}, alone"] = rate(ports, model, suffix, TOGETHER, seconds)
        with ThreadPoolExecutor() as loads:
            both = {model: loads.submit(rate, ports, model, suffix, TOGETHER, 2 * seconds) for model in INPUTS}
        rates.update({f"{word}, {model}, beside": both[model].result() for model in INPUTS})
    return rates


def report(rounds: list[dict[str, float]]) -> dict[str, list[float]]:
    """Ratios by what they compare, one a round."""
    ratios: dict[str, list[float]] = {}
    for rates in rounds:
        for model in INPUTS:
            for concurrency in CONCURRENCY:
                head = f"{model}, concurrency {concurrency}, instances "
                for count in INSTANCES[1:]:
                    name = f"{head}{count} / 1"
                    ratios.setdefault(name, []).append(rates[f"{head}{count}"] / rates[f"{head}1"])
        for word in SPINNING:
            parts = {m: rates[f"{word}, {m}, beside"] / rates[f"{word}, {m}, alone"] for m in INPUTS}
            for model, part in parts.items():
                ratios.setdefault(f"{word}: {model} beside / alone", []).append(part)
            ratios.setdefault(f"{word}: sum of both parts", []).append(sum(parts.values()))
        for model in INPUTS:
            calm, spinning = (rates[f"{word}, {model}, alone"] for word in ("calm", "spinning"))
            ratios.setdefault(f"{model} alone, calm / spinning", []).append(calm / spinning)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each load, after a quarter of that as warm-up")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_repository(Path(folder))
        rounds = []
        with tcli_serve(Path(folder) / "models") as ports:
            for number in range(args.rounds):
                rounds.append({**instances_round(ports, args.seconds), **together_round(ports, args.seconds)})
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    ratios = report(rounds)
    for name, values in ratios.items():
        print(f"{name}: {median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    write_json(args.json, {"rates": rounds, "ratios": ratios})


if __name__ == "__main__":
    main()
