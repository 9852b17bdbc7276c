"""Batch inference in this process: how fast, against what it cannot be faster than, and with how much memory.

    python benchmarks/batch.py [--rows 400000] [--pictures 2000] [--gigabytes 5] [--json FILE]

`rows` takes a Parquet table of two [16] FP32 columns through a model that adds and subtracts them, 1,024 at a time, into each form
of output: rows a second from the file to the file. `pictures` takes JPEGs of 640 x 480 through efficientnet_lite0, against decoding
alone, with as many threads, and against the engine alone, asked about one block of pictures over and over: the job can be as fast
as the slower of the two. `array` takes a .npy of [rows, 1024] FP32 through a model of sums, in a process of its own: its peak memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import onnx
import pyarrow
from onnx import TensorProto, helper
from PIL import Image
from pyarrow import parquet

from running import HERE, write_json
from tcli_batch import Job, JobOptions, LocalTransport, find_data, read_signature
from tcli_batch.reading import Reader
from tcli_batch.sources.kinds import Kinds
from tcli_client import Answer, Inference
from tcli_server.hardware.cores import usable_cores
from tcli_server.zoo import scaffold_efficientnet_lite0

FORMS = ("parquet", "npz", "csv", "jsonl")
WIDTH, LONG = 16, 1024
UNDER_WAY = 8
PEAK = """
import json, re, sys
from pathlib import Path
from tcli_batch import Job, JobOptions, LocalTransport, find_data
with LocalTransport(sys.argv[1], ["total"]) as server:
    summary = Job(server, find_data([sys.argv[2]]), JobOptions("total")).run(Path(sys.argv[3]))
peak = re.search("VmHWM: *(\\d+) kB", Path("/proc/self/status").read_text().replace("\\t", " "))  # rusage has the parent's, too
print(json.dumps([summary.rows, summary.seconds, int(peak[1]) / 1024]))
"""


def write_models(root: Path) -> None:
    """`sums` gives INPUT0 + INPUT1 and INPUT0 - INPUT1, `total` the sum of each row."""
    pair = [helper.make_tensor_value_info(f"INPUT{place}", TensorProto.FLOAT, ("N", WIDTH)) for place in range(2)]
    both = [helper.make_tensor_value_info(f"OUTPUT{place}", TensorProto.FLOAT, ("N", WIDTH)) for place in range(2)]
    nodes = [
        helper.make_node(kind, ["INPUT0", "INPUT1"], [f"OUTPUT{place}"]) for place, kind in enumerate(("Add", "Sub"))
    ]
    _write_model(root, "sums", helper.make_graph(nodes, "sums", pair, both))
    long = helper.make_tensor_value_info("INPUT0", TensorProto.FLOAT, ("N", LONG))
    short = helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, ("N", 1))
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["INPUT0", "axes"], ["OUTPUT0"], keepdims=1)
    _write_model(root, "total", helper.make_graph([node], "total", [long], [short], [axes]))


def _write_model(root: Path, name: str, graph: onnx.GraphProto) -> None:
    folder = root / name / "1"
    folder.mkdir(parents=True)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (root / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: 1024\n')


def measure_rows(folder: Path, repository: Path, rows: int) -> dict[str, float]:
    """Rows a second into each form."""
    rng = np.random.default_rng(0)
    columns = {
        f"INPUT{place}": pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(rng.random(rows * WIDTH, np.float32)), WIDTH
        ).cast(pyarrow.list_(pyarrow.float32()))
        for place in range(2)
    }
    parquet.write_table(pyarrow.table(columns), folder / "rows.parquet", use_dictionary=False)
    rates = {}
    with LocalTransport(repository, ["sums"]) as server:
        for form in FORMS:
            job = Job(server, find_data([str(folder / "rows.parquet")]), JobOptions("sums"))
            summary = job.run(folder / f"sums.{form}")
            assert summary.rows == rows, summary
            rates[form] = rows / summary.seconds
    return rates


def measure_pictures(folder: Path, repository: Path, count: int) -> dict[str, float]:
    """Pictures a second: decoding alone, the engine alone, and the job."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).resize((640, 480), Image.Resampling.BICUBIC)
    (folder / "pictures").mkdir()
    for number in range(count):
        noise.rotate(number % 360).save(folder / "pictures" / f"{number:06}.jpg", quality=90)
    files = find_data([str(folder / "pictures")])
    name = "efficientnet_lite0"
    with LocalTransport(repository, [name]) as server:
        signature = read_signature(server, name)
        began = time.perf_counter()
        blocks = Reader(files, Kinds(server, signature), {}, usable_cores()).blocks()
        kept = next(blocks)
        decoded = len(kept) + sum(map(len, blocks))
        decoding = time.perf_counter() - began
        inference = Inference(name, kept.inputs)
        server.infer(inference)
        began, asked = time.perf_counter(), 0
        running: deque[Future[Answer]] = deque()
        while asked < count:
            if len(running) == UNDER_WAY:
                running.popleft().result()
            running.append(server.begin(inference))
            asked += len(kept)
        while running:
            running.popleft().result()
        engine = time.perf_counter() - began
        summary = Job(server, files, JobOptions(name, classes=3, raw=False)).run(folder / "classes.parquet")
    assert summary.rows == decoded == count, summary
    rates = {"decoding": count / decoding, "engine": asked / engine, "job": count / summary.seconds}
    return {**rates, "of_the_slower": rates["job"] / min(rates["decoding"], rates["engine"])}


def measure_array(folder: Path, repository: Path, gigabytes: float) -> dict[str, float]:
    """Rows a second, and the peak memory in MiB, with that of a job of nearly nothing, for what the libraries take."""
    found = {}
    for name, size in (("small", 1 << 20), ("large", int(gigabytes * 1e9))):
        rows = size // (4 * LONG)
        file = folder / f"{name}.npy"
        array = np.lib.format.open_memmap(file, "w+", np.float32, (rows, LONG))
        array[::997] = 1
        array.flush()
        del array
        command = [sys.executable, "-c", PEAK, str(repository), str(file), str(folder / f"{name}.parquet")]
        written = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        answered, seconds, peak = json.loads(written)
        assert answered == rows
        found |= {f"{name}_rows_per_second": rows / seconds, f"{name}_peak_mib": peak}
        file.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000, help="0 leaves them out, as 0 of the others")
    parser.add_argument("--pictures", type=int, default=2_000)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        str(HERE.parent / name) for name in (".", "server", "client", "analyzer")
    )
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder, repository = Path(place), Path(place) / "models"
        write_models(repository)
        if options.rows:
            found["rows"] = measure_rows(folder, repository, options.rows)
        if options.pictures:
            scaffold_efficientnet_lite0(repository)
            found["pictures"] = measure_pictures(folder, repository, options.pictures)
        if options.gigabytes:
            found["array"] = measure_array(folder, repository, options.gigabytes)
    for kind, values in found.items():
        print(kind)
        for name, value in values.items():
            print(f"  {name:24} {value:14,.2f}")
    if options.json:
        write_json(options.json, {"cores": usable_cores(), **found})


if __name__ == "__main__":
    main()
