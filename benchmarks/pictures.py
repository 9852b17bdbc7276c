"""Pictures decoded by the server, against Pillow alone; and how far its answers are from those of `tcli infer`.

    python benchmarks/pictures.py [--picture FILE] [--rounds 5] [--seconds 3] [--concurrency 4] [--json FILE]

Pillow alone is one thread that opens, resizes and scales the picture in memory, as a Python client does. What counts is
pictures a second of processor time, all of the server's process included, so neither the load nor anybody else on the
machine is in it. `pixels` answers with the pixels themselves, 602 KB of FP32; `ensemble` with the mean colour of the picture,
by a second model. The last lines compare 1 instance with one for each core by the clock.
"""

import argparse
import asyncio
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from load import Record, http_load
from running import HERE, Ports, tcli_serve, write_json
from tcli_client import PictureFormat, Scaling, preprocess
from tcli_server.hardware.cores import usable_cores
from tcli_server.repository import read_config
from tcli_server.zoo import add_pictures

SIDE = 224


def mean_colour() -> bytes:
    """scores [N, 3] = the mean of each channel."""
    source = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ("N", 3, SIDE, SIDE))
    target = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("N", 3))
    node = helper.make_node("ReduceMean", ["picture"], ["scores"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "mean", [source], [target])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return model.SerializeToString()


CONFIG = """
name: "mean"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "picture" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 224, 224 ] } ]
output [ { name: "scores" data_type: TYPE_FP32 dims: [ 3 ] } ]
"""


def write_repository(root: Path) -> Path:
    """A model of the mean colour, and what decodes pictures for it: with 1 instance, with one a core, and by scalings."""
    version = root / "mean" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(mean_colour())
    (root / "mean" / "config.pbtxt").write_text(CONFIG)
    config = read_config(root / "mean" / "config.pbtxt")
    add_pictures(root, config, "one", instances=1)
    add_pictures(root, config, "all", instances=usable_cores())
    for scaling in Scaling:
        add_pictures(root, config, f"scaling_{scaling.value}", scaling=scaling.value)
    return root


def pillow_alone(content: bytes, seconds: float) -> float:
    """Pictures a second of processor time."""
    start, begun, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        with Image.open(io.BytesIO(content)) as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        values = np.asarray(small).astype(np.float32) / np.float32(127.5) - np.float32(1)
        np.ascontiguousarray(values.transpose(2, 0, 1))
        count += 1
    return count / (time.process_time() - start)


def raw_request(model: str, content: bytes) -> bytes:
    """The picture as the whole body."""
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        "Inference-Header-Content-Length: 0\r\n\r\n"
    )
    return head.encode() + content


def run_load(port: int, model: str, picture: Path, concurrency: int, seconds: float) -> dict[str, float]:
    """A load in a process of its own: how many were answered, and how many a second."""
    command = [sys.executable, __file__, "--load", f"{port},{model}", "--picture", str(picture)]
    command += ["--concurrency", str(concurrency), "--seconds", str(seconds)]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout))


def load_here(where: str, content: bytes, concurrency: int, seconds: float) -> None:
    port, _, model = where.partition(",")
    record = Record(time.perf_counter())
    asyncio.run(http_load(f"127.0.0.1:{port}", raw_request(model, content), concurrency, record, seconds))
    print(json.dumps({"requests": record.requests, "rate": record.requests / seconds}))


def show_differences(ports: Ports, picture: Path) -> None:
    """Of pixels and of what a model makes of them."""
    form = PictureFormat(SIDE, SIDE, 3, "NCHW", "FP32")
    for scaling in Scaling:
        expected = preprocess(picture, form, scaling)
        found = {}
        for model in (f"scaling_{scaling.value}_preprocess", f"scaling_{scaling.value}"):
            url = f"http://127.0.0.1:{ports.http}/v2/models/{model}/infer"
            answer = httpx.post(
                url, content=picture.read_bytes(), headers={"Inference-Header-Content-Length": "0"}
            ).raise_for_status()
            size = int(answer.headers["Inference-Header-Content-Length"])
            found[model] = np.frombuffer(answer.content[size:], np.float32)
        pixels, scores = found.values()
        mean = expected.mean(axis=(1, 2), dtype=np.float64)
        print(
            f"{scaling:>10}: largest difference of pixels {np.abs(pixels - expected.ravel()).max():.3g}, "
            f"of mean colours {np.abs(scores - mean).max():.3g}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=HERE.parent / "examples" / "images" / "coffee.jpg")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    content = args.picture.read_bytes()
    if args.load:
        load_here(args.load, content, args.concurrency, args.seconds)
        return
    with tempfile.TemporaryDirectory() as folder, tcli_serve(write_repository(Path(folder))) as ports:
        show_differences(ports, args.picture)
        print(
            f"{'':>10} {'Pillow alone':>13} {'served':>9} {'ratio':>6}   (pictures a second of processor time, medians)"
        )
        figures: dict[str, object] = {}
        for name, model in (("pixels", "one_preprocess"), ("ensemble", "one")):
            pairs = []
            for _ in range(args.rounds):
                alone = pillow_alone(content, args.seconds)
                before = ports.cpu_seconds()
                answered = run_load(ports.http, model, args.picture, args.concurrency, args.seconds)["requests"]
                pairs.append((alone, answered / (ports.cpu_seconds() - before)))
            figures[name] = [{"alone": one, "served": other} for one, other in pairs]
            alone, served = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
            ratio = median(pair[1] / pair[0] for pair in pairs)
            print(f"{name:>10} {alone:>13.1f} {served:>9.1f} {ratio:>6.3f}", flush=True)
        rates = []
        for _ in range(args.rounds):
            one, all_ = (
                run_load(ports.http, model, args.picture, 2 * usable_cores(), args.seconds)["rate"]
                for model in ("one", "all")
            )
            rates.append((one, all_))
        figures["by the clock"] = [{"1 instance": one, "all instances": every} for one, every in rates]
        write_json(args.json, figures)
        one, every = median(rate[0] for rate in rates), median(rate[1] for rate in rates)
        print(f"by the clock: 1 instance {one:.1f}/s, {usable_cores()} instances {every:.1f}/s")


if __name__ == "__main__":
    main()
