"""Whether instances and models share the cores, or fight for them.

    python benchmarks/threads.py [--rounds 3] [--seconds 1] [--only instances | together] [--json FILE]

1. The scaffold's two models with 2 and 4 instances and no thread parameters, against 1 instance, which has all cores and is
   what `tcli repo init` and `tcli repo add` write.
2. Both models under load at once, each with one instance as wide as the machine: the parts of what each does alone, whose sum
   is 1 if they share the time without loss. With threads that wait spinning for as long as `tcli` lets them, as long as they do by
   ONNX Runtime's own default, and not at all. What each does alone is compared, too, with lone requests and under load.

One server has all of them, the load goes over HTTP, and its answers are held against the server's counts. Rounds are interleaved,
and only the ratios mean anything: server and load share the cores. Medians with intervals of 95 % by the order of the ratios where
there are six rounds or more, and else their range.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from compare import median_interval
from running import Ports, checked_load, tcli_serve, write_json
from tcli_server.zoo import densenet_onnx, efficientnet_lite0, scaffold_efficientnet_lite0

INPUTS = {"efficientnet_lite0": "image:1,3,224,224", "densenet_onnx": "data_0:3,224,224"}
INSTANCES, CONCURRENCY, ALONE, TOGETHER = (1, 2, 4), (1, 4, 16), (1, 8), 8
ENOUGH_ROUNDS = 6
"""For an interval."""

PARAMETER = """
parameters { key: "session.intra_op.%s" value { string_value: "%s" } }
"""
SPINNING = {
    "as tcli": ("1_tcli", ""),
    "as ONNX Runtime": ("1_own", PARAMETER % ("spin_duration_us", "-1")),
    "never": ("1_calm", PARAMETER % ("allow_spinning", "0")),
}
"""Words for the report, the ends of the names of the models with one instance, and what their configurations say more."""


def write_repository(root: Path) -> None:
    """Each model with each count of instances, and with each way of spinning."""
    scaffold_efficientnet_lite0(root / "scaffold")
    folder = root / "scaffold" / efficientnet_lite0.NAME
    written = (folder / "config.pbtxt").read_text().replace("instance_group [ { count: 1 } ]", "")
    models = {
        efficientnet_lite0.NAME: (written, (folder / "1" / "model.onnx").read_bytes()),
        densenet_onnx.NAME: (
            densenet_onnx.PLACEHOLDER_CONFIG,
            densenet_onnx.build_placeholder().SerializeToString(),
        ),
    }
    labels = {path.name: path.read_bytes() for path in folder.glob("*.txt")}
    ways = {**{str(count): "" for count in INSTANCES}, **dict(SPINNING.values())}
    for model, (config, graph) in models.items():
        for suffix, more in ways.items():
            copy = root / "models" / f"{model}_{suffix}"
            (copy / "1").mkdir(parents=True, exist_ok=True)
            (copy / "1" / "model.onnx").write_bytes(graph)
            for name, text in labels.items():
                (copy / name).write_bytes(text)
            (copy / "densenet_labels.txt").write_bytes(next(iter(labels.values())))
            group = f"\ninstance_group {{ count: {suffix[0]} }}\n"
            (copy / "config.pbtxt").write_text(config.replace(f'"{model}"', f'"{copy.name}"') + group + more)


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
    for model in INPUTS:
        for concurrency in ALONE:
            for word, (suffix, _) in SPINNING.items():
                rates[f"{word}, {model}, alone, {concurrency}"] = rate(ports, model, suffix, concurrency, seconds)
    for word, (suffix, _) in SPINNING.items():
        with ThreadPoolExecutor() as loads:
            both = {model: loads.submit(rate, ports, model, suffix, TOGETHER, 2 * seconds) for model in INPUTS}
        rates.update({f"{word}, {model}, beside": both[model].result() for model in INPUTS})
    return rates


PARTS = {"instances": instances_round, "together": together_round}


def instances_ratios(rates: dict[str, float]) -> dict[str, float]:
    """Several instances against one, in one round."""
    return {
        f"{model}, concurrency {concurrency}, instances {count} / 1": (
            rates[f"{model}, concurrency {concurrency}, instances {count}"]
            / rates[f"{model}, concurrency {concurrency}, instances 1"]
        )
        for model in INPUTS
        for concurrency in CONCURRENCY
        for count in INSTANCES[1:]
    }


def together_ratios(rates: dict[str, float]) -> dict[str, float]:
    """Beside each other against alone, and ways of spinning against ONNX Runtime's own, in one round."""
    ratios = {}
    for word in SPINNING:
        parts = {m: rates[f"{word}, {m}, beside"] / rates[f"{word}, {m}, alone, {TOGETHER}"] for m in INPUTS}
        ratios.update({f"spinning {word}: {model} beside / alone": part for model, part in parts.items()})
        ratios[f"spinning {word}: sum of both parts"] = sum(parts.values())
    own, *others = sorted(SPINNING, key="as ONNX Runtime".__ne__)
    for word in others:
        for model in INPUTS:
            for kind in (*(f"alone, {concurrency}" for concurrency in ALONE), "beside"):
                name = f"{model} {kind}: spinning {word} / {own}"
                ratios[name] = rates[f"{word}, {model}, {kind}"] / rates[f"{own}, {model}, {kind}"]
    return ratios


RATIOS = {"instances": instances_ratios, "together": together_ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each load, after a quarter of that as warm-up")
    parser.add_argument("--only", choices=[*PARTS])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    parts = [args.only] if args.only else [*PARTS]
    with tempfile.TemporaryDirectory() as folder:
        write_repository(Path(folder))
        rounds = []
        with tcli_serve(Path(folder) / "models") as ports:
            for number in range(args.rounds):
                rounds.append({part: PARTS[part](ports, args.seconds) for part in parts})
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    ratios = {
        name: [RATIOS[part](rates[part])[name] for rates in rounds]
        for part in parts
        for name in RATIOS[part](rounds[0][part])
    }
    for name, values in ratios.items():
        low, high = median_interval(values) if len(values) >= ENOUGH_ROUNDS else (min(values), max(values))
        print(f"{name}: {median(values):.2f} ({low:.2f} to {high:.2f})")
    write_json(args.json, {"rates": rounds, "ratios": ratios})


if __name__ == "__main__":
    main()
