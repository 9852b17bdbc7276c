"""Python models here against the same models on another V2 server, a real Triton for example.

    python benchmarks/python_models.py --write FOLDER              # the models; start the other server on them
    python benchmarks/python_models.py --against 127.0.0.1:8000    # its HTTP address
        [--rounds 7] [--seconds 1] [--concurrency 1 16] [--json FILE]

Two models, identity and add_sub, each with one instance and without batching, for FP32 [1,16] and [1,150528] (602 KB) over
HTTP. Rounds are interleaved, and only the ratios mean anything: both servers, their workers and the load share the
processor. The other server's processor time is not known here; ours, workers included, is shown.
"""

import argparse
import contextlib
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import psutil

from running import Ports, checked_load, load, tcli_serve, write_json

SHAPES = ("1,16", "1,150528")

IDENTITY = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array)]))
        return responses
"""

ADD_SUB = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            a, b = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("INPUT0", "INPUT1"))
            tensors = [pb_utils.Tensor("OUTPUT0", a + b), pb_utils.Tensor("OUTPUT1", a - b)]
            responses.append(pb_utils.InferenceResponse(tensors))
        return responses
"""

MODELS = {"identity": (IDENTITY, 1), "add_sub": (ADD_SUB, 2)}
"""Name -> code, and how many inputs and outputs it has."""


def write_repository(root: Path) -> Path:
    """A repository with the models."""
    for name, (code, count) in MODELS.items():
        folder = root / name
        (folder / "1").mkdir(parents=True, exist_ok=True)
        (folder / "1" / "model.py").write_text(code)
        tensors = [
            f'{side.lower()} {{ name: "{side}{index}" data_type: TYPE_FP32 dims: [ -1, -1 ] }}'
            for side in ("INPUT", "OUTPUT")
            for index in range(count)
        ]
        (folder / "config.pbtxt").write_text("\n".join(['backend: "python"', *tensors, ""]))
    return root


def processor_seconds(server: Ports) -> float:
    """Processor time of our server and of its workers."""
    process = psutil.Process(server.pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="write the models into this folder, and measure nothing")
    parser.add_argument("--against", help="HTTP address of the other server, HOST:PORT")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1, help="length of one measurement")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.write is not None:
        print(write_repository(args.write))
        return
    if args.against is None:
        parser.error("--against HOST:PORT, or --write FOLDER")
    port = int(args.against.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        repository = write_repository(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        ours = stack.enter_context(tcli_serve(repository))
        print(
            f"{'model':>9} {'shape':>9} {'conc':>4} {'other req/s':>12} {'tcli req/s':>12} {'ratio':>6} {'tcli CPU us':>12}"
        )
        figures = {}
        for name, (_, count) in MODELS.items():
            for shape in SHAPES:
                inputs = [f"INPUT{index}:{shape}" for index in range(count)]
                for concurrency in args.concurrency:
                    found = measure(name, inputs, port, ours, concurrency, args.rounds, args.seconds)
                    print(f"{name:>9} {shape:>9} {concurrency:>4} {row(found)}", flush=True)
                    figures[f"{name}, {shape}, concurrency {concurrency}"] = asdict(found)
    write_json(args.json, figures)


@dataclass
class Rounds:
    """Requests a second of both servers, and our processor microseconds for each, by round."""

    theirs: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)


def measure(
    name: str, inputs: list[str], port: int, ours: Ports, concurrency: int, rounds: int, seconds: float
) -> Rounds:
    """Both servers in turns."""
    found = Rounds()
    for index in range(rounds):
        for other in (True, False) if index % 2 == 0 else (False, True):
            if other:
                found.theirs.append(load("http", port, name, inputs, concurrency, seconds)["requests_per_second"])
                continue
            before = processor_seconds(ours)
            counted = checked_load("http", ours, name, inputs, concurrency, seconds)
            found.ours.append(counted["requests_per_second"])
            found.processor_us.append((processor_seconds(ours) - before) / counted["requests"] * 1e6)
    return found


def row(found: Rounds) -> str:
    """Both medians, the median of the ratios, and our processor microseconds for each request."""
    ratio = median(own / other for own, other in zip(found.ours, found.theirs, strict=True))
    return (
        f"{median(found.theirs):>12.0f} {median(found.ours):>12.0f} {ratio:>6.2f} {median(found.processor_us):>12.0f}"
    )


if __name__ == "__main__":
    main()
