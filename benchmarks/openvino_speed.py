"""What OpenVINO brings: served against OpenVINO alone, and DenseNet-121 in bf16 against ONNX Runtime in fp32.

    python benchmarks/openvino_speed.py [--rounds 5] [--seconds 4] [--only engines | served | streams]
                                        [--perf-analyzer perf_analyzer] [--json FILE]

`--only streams`: whether one instance feeds as many streams as OpenVINO wants. The engine in this process, asked by twice as many
threads as there are infer requests, against OpenVINO's own AsyncInferQueue over a model compiled with the same properties.

The graph is the scaffold's DenseNet-121 with seeded random weights, its batch made to vary. Rounds are interleaved, everything
has the same threads, and only the ratios mean anything; other programs on the machine make them worse.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx

from running import Ports, checked_load, tcli_serve, write_json
from tcli_server import Engine, EngineOptions
from tcli_server.hardware.cores import usable_cores

INPUT, OUTPUT = "data_0", "fc6_1"
CONFIG = """
backend: "openvino"
default_model_filename: "model.onnx"
max_batch_size: %d
input { name: "data_0" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }
output { name: "fc6_1" data_type: TYPE_FP32 dims: [ 1000, 1, 1 ] }
dynamic_batching { }
parameters { key: "NUM_STREAMS" value { string_value: "%d" } }
parameters { key: "INFERENCE_NUM_THREADS" value { string_value: "%d" } }
"""


def densenet() -> onnx.ModelProto:
    """The scaffold's graph, which fixes the batch at 1, with a batch that varies."""
    from tcli_server.zoo.densenet_onnx import build_placeholder

    model = build_placeholder()
    for value in (*model.graph.input, *model.graph.output):
        if value.name in (INPUT, OUTPUT):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    return model


def pictures(batch: int) -> np.ndarray:
    return np.random.default_rng(0).random((batch, 3, 224, 224), np.float32)


def run_openvino(file: Path, precision: str, threads: int, feed: np.ndarray) -> Iterator[np.ndarray]:
    import openvino as ov

    options = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
    # Threads that are bound to cores suffer more from what else runs on a machine; the server's are not.
    common = {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
    compiled = ov.Core().compile_model(str(file), "CPU", {**common, **options})
    request = compiled.create_infer_request()
    request.set_input_tensor(0, ov.Tensor(feed, shared_memory=True))
    while True:
        request.infer(share_outputs=True)
        yield request.get_output_tensor(0).data


def run_onnxruntime(file: Path, threads: int, feed: np.ndarray) -> Iterator[np.ndarray]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    while True:
        yield session.run([OUTPUT], {INPUT: feed})[0]


def rate(runs: Iterator[np.ndarray], batch: int, seconds: float) -> float:
    """Images per second, the first two runs not counted."""
    next(runs), next(runs)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        next(runs)
        count += 1
    return count * batch / (time.perf_counter() - start)


def alone(engine: str, file: Path, batch: int, threads: int, seconds: float) -> float:
    feed = pictures(batch)
    runs = run_onnxruntime(file, threads, feed) if engine == "ort" else run_openvino(file, engine, threads, feed)
    return rate(runs, batch, seconds)


def alone_in_a_process(engine: str, file: Path, batch: int, threads: int, seconds: float) -> float:
    command = [sys.executable, __file__, "--alone", engine, str(file), str(batch), str(threads), str(seconds)]
    return float(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout))


def perf_analyzer(program: str, protocol: str, ports: Ports, folder: Path, concurrency: int, seconds: float) -> float:
    """Inferences per second as NVIDIA's own load generator counts them."""
    (folder / "data").mkdir(exist_ok=True)
    pictures(1).tofile(folder / "data" / INPUT)
    report = folder / "report.csv"
    command = [
        *(program, "-m", "densenet", "-u", f"127.0.0.1:{getattr(ports, protocol)}", "-i", protocol),
        *("--concurrency-range", str(concurrency), "-p", str(int(seconds * 1000)), "-r", "3", "-s", "999"),
        *("--input-data", str(folder / "data"), "--shape", f"{INPUT}:3,224,224", "-f", str(report)),
    ]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    header, row = (line.split(",") for line in report.read_text().splitlines()[:2])
    return float(row[header.index("Inferences/Second")])


def compare_engines(file: Path, threads: int, batches: list[int], rounds: int, seconds: float) -> dict[str, Any]:
    """Images a second of each round, by batch."""
    figures = {}
    print(
        f"{'batch':>5} {'ONNX Runtime fp32':>18} {'OpenVINO f32':>13} {'OpenVINO bf16':>14} {'bf16 / ORT':>11}   (images/s)"
    )
    for batch in batches:
        rows = [
            [alone_in_a_process(engine, file, batch, threads, seconds) for engine in ("ort", "f32", "bf16")]
            for _ in range(rounds)
        ]
        medians = [median(column) for column in zip(*rows, strict=True)]
        ratio = median(row[2] / row[0] for row in rows)
        print(f"{batch:>5} {medians[0]:>18.1f} {medians[1]:>13.1f} {medians[2]:>14.1f} {ratio:>11.2f}", flush=True)
        figures[f"alone, batch {batch}"] = [dict(zip(("ort", "f32", "bf16"), row, strict=True)) for row in rows]
    return figures


def compare_answers(file: Path, threads: int) -> None:
    feed = pictures(4)
    wanted = next(run_onnxruntime(file, threads, feed)).astype(np.float64)
    scale = np.abs(wanted).max()
    for precision in ("f32", "bf16"):
        found = next(run_openvino(file, precision, threads, feed)).astype(np.float64)
        largest = np.abs(found - wanted).max()
        same = np.mean(found.reshape(4, -1).argmax(1) == wanted.reshape(4, -1).argmax(1))
        print(
            f"largest difference from ONNX Runtime's fp32, {precision}: {largest:.3g}, {largest / scale:.2%} of the largest "
            f"value {scale:.3g}; the same top class for {same:.0%} of 4 pictures"
        )


def compare_served(folder: Path, file: Path, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """Images a second of each round, by protocol."""
    figures = {}
    models = folder / "models"
    (models / "densenet" / "1").mkdir(parents=True)
    (models / "densenet" / "1" / "model.onnx").write_bytes(file.read_bytes())
    (models / "densenet" / "config.pbtxt").write_text(CONFIG % (args.batch, args.streams, threads))
    by = "perf_analyzer" if args.perf_analyzer else "load.py"
    print(
        f"{'protocol':>8} {'concurrency':>11} {'engine alone':>13} {'served':>8} {'ratio':>6}   (images/s by {by}, medians)"
    )
    with tcli_serve(models) as ports:
        for protocol in args.protocol:
            pairs = []
            for _ in range(args.rounds):
                best = max(alone_in_a_process("", file, batch, threads, args.seconds) for batch in (1, args.batch))
                if args.perf_analyzer:
                    served = perf_analyzer(args.perf_analyzer, protocol, ports, folder, args.concurrency, args.seconds)
                else:
                    inputs = [f"{INPUT}:1,3,224,224"]
                    measured = checked_load(protocol, ports, "densenet", inputs, args.concurrency, args.seconds)
                    served = measured["requests_per_second"]
                pairs.append((best, served))
            engine, served = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
            ratio = median(pair[1] / pair[0] for pair in pairs)
            print(f"{protocol:>8} {args.concurrency:>11} {engine:>13.1f} {served:>8.1f} {ratio:>6.3f}", flush=True)
            figures[f"served, {protocol}"] = [{"alone": one, "served": other} for one, other in pairs]
    return figures


def asked_engine(engine: Engine, model: str, feed: np.ndarray, threads: int, seconds: float) -> float:
    """Requests a second of one picture each, which so many threads ask one after the other."""
    until = time.perf_counter() + seconds

    def ask() -> int:
        count = 0
        while time.perf_counter() < until:
            engine.infer(model, {INPUT: feed})
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        counts = [one.result() for one in [pool.submit(ask) for _ in range(threads)]]
        return sum(counts) / (time.perf_counter() - start)


def asked_queue(queue: Any, feed: np.ndarray, seconds: float) -> float:
    """The same by OpenVINO's own queue of asynchronous requests; each answer is copied, as a user would have to."""
    answers: list[np.ndarray] = []
    queue.set_callback(lambda request, _: answers.append(request.get_output_tensor(0).data.copy()))
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        queue.start_async({0: feed}, None, True)
    queue.wait_all()
    return len(answers) / (time.perf_counter() - start)


def compare_streams(folder: Path, file: Path, threads: int, args: argparse.Namespace) -> dict[str, Any]:
    """Pictures a second of each round, by hint."""
    import openvino as ov

    figures = {}
    core = ov.Core()
    print(
        f"{'hint':>12} {'streams':>8} {'own queue':>10} {'engine':>8} {'ratio':>6}   (images/s, medians; range of the ratios)"
    )
    for hint in ("LATENCY", "THROUGHPUT"):
        name = f"densenet_{hint.lower()}"
        model = folder / "streams" / name
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.onnx").write_bytes(file.read_bytes())
        config = (CONFIG % (args.batch, 1, threads)).replace("dynamic_batching { }", "")
        config = config.replace(
            '"NUM_STREAMS" value { string_value: "1" }', f'"PERFORMANCE_HINT" value {{ string_value: "{hint}" }}'
        )
        (model / "config.pbtxt").write_text(config)
        properties = {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        compiled = core.compile_model(str(file), "CPU", properties)
        queue = ov.AsyncInferQueue(compiled)  # as many requests as the model says are best
        feed = pictures(1)
        with Engine(
            folder / "streams", options=EngineOptions(model_control_mode="explicit", load_models=(name,))
        ) as engine:
            (placed,) = engine.model(name).instances
            if placed.instance.lanes != len(queue):
                raise RuntimeError(f"{name}: {placed.instance.lanes} lanes, but OpenVINO wants {len(queue)} requests")
            asked_engine(engine, name, feed, 2 * len(queue), 0.5), asked_queue(queue, feed, 0.5)
            pairs = [
                (asked_queue(queue, feed, args.seconds), asked_engine(engine, name, feed, 2 * len(queue), args.seconds))
                for _ in range(args.rounds)
            ]
        ratios = [served / own for own, served in pairs]
        own, served = (median(column) for column in zip(*pairs, strict=True))
        span = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{hint:>12} {len(queue):>8} {own:>10.1f} {served:>8.1f} {median(ratios):>6.2f} {span}", flush=True)
        figures[f"streams, {hint}"] = [{"own": one, "engine": other} for one, other in pairs]
    return figures


def main() -> None:
    if sys.argv[1:2] == ["--alone"]:
        engine, file, batch, threads, seconds = sys.argv[2:]
        print(json.dumps(alone(engine, Path(file), int(batch), int(threads), float(seconds))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--batch", type=int, default=8, help="the served model's max_batch_size")
    parser.add_argument("--streams", type=int, default=1, help="of the served model, which share the threads")
    parser.add_argument("--threads", type=int, help="of the engines, alone and served (default: the usable cores)")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--protocol", choices=["http", "grpc"], nargs="+", default=["grpc", "http"])
    parser.add_argument("--perf-analyzer", help="NVIDIA's program, instead of benchmarks/load.py")
    parser.add_argument("--only", choices=["engines", "served", "streams"])
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    threads = args.threads or usable_cores()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "model.onnx"
        onnx.save(densenet(), file)
        if args.only in (None, "engines"):
            figures |= compare_engines(file, threads, [1, args.batch], args.rounds, args.seconds)
            compare_answers(file, threads)
        if args.only in (None, "served"):
            figures |= compare_served(Path(name), file, threads, args)
        if args.only in (None, "streams"):
            figures |= compare_streams(Path(name), file, threads, args)
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
