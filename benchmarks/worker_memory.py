"""What several workers hold of one model: whose weights they share, and what that costs.

    python benchmarks/worker_memory.py [--workers 1 2 4] [--json FILE]

A model of four matrices of 52 MB each is served with its weights inside of the ONNX file, in a file beside it, with ONNX Runtime's
copies for its kernels (prepacking) and without, and as OpenVINO IR, mapped and not, where OpenVINO is installed. Prints the memory of all processes, each
page counted once however many have it (PSS), and the time of a request with one row and with eight, one request at a time.
"""

import argparse
import http.client
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

from running import Ports, tcli_serve, write_json

WIDTH, LAYERS = 3600, 4
ROWS = (1, 8)
REQUESTS = 30
"""Each on a connection of its own, so that every worker gets some."""
MAPPED = 'parameters { key: "ENABLE_MMAP" value { string_value: "YES" } }'
NO_PREPACKING = 'parameters { key: "session.disable_prepacking" value { string_value: "1" } }'


def graph() -> onnx.ModelProto:
    """y = relu(... relu(x w0) ... w3)."""
    random = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for layer in range(LAYERS):
        values = random.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]))
        last = f"r{layer}" if layer < LAYERS - 1 else "y"
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [last]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "y")]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write_models(root: Path) -> dict[str, Path]:
    """A repository with one model for each way to store and load it."""
    model = graph()
    repositories = {}
    for name, external, parameters in (
        ("weights in the ONNX file", False, ""),
        ("weights in the ONNX file, no prepacking", False, NO_PREPACKING),
        ("weights in a file beside it", True, ""),
        ("weights in a file beside it, no prepacking", True, NO_PREPACKING),
    ):
        folder = new_model(root / str(len(repositories)), "onnxruntime", parameters)
        where = {"save_as_external_data": True, "location": "weights.bin"} if external else {}
        onnx.save(onnx.ModelProto.FromString(model.SerializeToString()), folder / "model.onnx", **where)
        repositories[name] = folder.parent.parent
    with suppress(ImportError):
        import openvino

        read = openvino.Core().read_model(str(root / "0" / "m" / "1" / "model.onnx"))
        for name, parameters in (("OpenVINO IR", ""), ("OpenVINO IR, mapped", MAPPED)):
            folder = new_model(root / str(len(repositories)), "openvino", parameters)
            openvino.save_model(read, str(folder / "model.xml"), compress_to_fp16=False)
            repositories[name] = folder.parent.parent
    return repositories


def new_model(repository: Path, backend: str, parameters: str) -> Path:
    """The folder of its version, without a file."""
    folder = repository / "m" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(f'backend: "{backend}"\nmax_batch_size: 8\n{parameters}\n')
    return folder


def request_ms(ports: Ports, rows: int) -> float:
    """Median time of a request."""
    values = np.random.default_rng(0).random((rows, WIDTH)).astype(np.float32).tobytes()
    head = (
        f'{{"inputs":[{{"name":"x","shape":[{rows},{WIDTH}],"datatype":"FP32","parameters":{{"binary_data_size":{len(values)}}}}}],'
        '"parameters":{"binary_data_output":true}}'
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    times = []
    for _ in range(REQUESTS):
        connection = http.client.HTTPConnection("127.0.0.1", ports.http, timeout=60)
        connection.connect()
        began = time.perf_counter()
        connection.request("POST", "/v2/models/m/infer", head + values, headers)
        answer = connection.getresponse()
        answer.read()
        times.append(1e3 * (time.perf_counter() - began))
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}")
    return median(times)


def held_mib(ports: Ports) -> float:
    """Of all processes of a server."""
    main = psutil.Process(ports.pid)
    return float(sum(one.memory_full_info().pss for one in (main, *main.children(recursive=True)))) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    measured: dict[str, dict[int, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, repository in write_models(Path(folder)).items():
            for count in args.workers:
                with tcli_serve(repository, f"--workers={count}") as ports:
                    times = {rows: request_ms(ports, rows) for rows in ROWS}
                    measured.setdefault(name, {})[count] = {"ms": times, "pss_mib": held_mib(ports)}
                    print(f"{name}, {count} workers: {measured[name][count]}", file=sys.stderr)
    for name, rows in measured.items():
        held = ", ".join(f"{count}: {one['pss_mib']:.0f}" for count, one in rows.items())
        taken = ", ".join(
            f"{count}: {one['ms'][ROWS[0]]:.1f} / {one['ms'][ROWS[1]]:.1f}" for count, one in rows.items()
        )
        print(f"{name}: MiB by workers {held}; ms of {ROWS[0]} / {ROWS[1]} rows by workers {taken}")
    write_json(args.json, measured)


if __name__ == "__main__":
    main()
