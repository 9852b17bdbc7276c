"""Large tensors each way: an identity of 602 KB and of 8 MB over HTTP and gRPC, one request at a time.

    python benchmarks/large_tensors.py [--against CHECKOUT] [--perf-analyzer perf_analyzer] [--rounds 5] [--seconds 2] [--json FILE]

Two servers in turns: this checkout and the one of --against, or else this one with `--grpc-engine aio`. NVIDIA's perf_analyzer makes the load
where it is given, else `load.py`. Over HTTP the same load is given to a bare server that reads a body to one place and sends that back, without a
model: what it does is the system's copies and the client's own time, the bound of any server. Rounds are interleaved, and only ratios of one
run mean anything: load and server share the processor. Beside `load.py`, the server's processor time for a request is compared, too, the model's own
included: other programs disturb it less.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper

from grpc_engines import measure
from running import checked_load, load, printing_ports, tcli_serve, write_json

WIDTHS = {"identity_602KB": 150_528, "identity_8MB": 2_000_000}
CONFIG = """
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ {width} ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ {width} ] }} ]
instance_group {{ count: 1 kind: KIND_CPU }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
"""


def write_models(root: Path) -> None:
    """Models that give back what they get."""
    for name, width in WIDTHS.items():
        tensors = [helper.make_tensor_value_info(one, TensorProto.FLOAT, ["N", width]) for one in ("INPUT0", "OUTPUT0")]
        node = helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])
        graph = helper.make_graph([node], name, tensors[:1], tensors[1:])
        (root / name / "1").mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, root / name / "1" / "model.onnx")
        (root / name / "config.pbtxt").write_text(CONFIG.format(width=width))


class Echo(asyncio.BufferedProtocol):
    """Reads a request's head, its body to memory of its own, and sends that back."""

    _arrivals = memoryview(bytearray(1 << 16))

    def __init__(self) -> None:
        self._body = memoryview(b"")
        self._came = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._body[self._came :] if self._body else self._arrivals

    def buffer_updated(self, count: int) -> None:
        if not self._body:  # the load generator sends a head and what follows it as one
            head, _, begun = bytes(self._arrivals[:count]).partition(b"\r\n\r\n")
            line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            self._body = memoryview(np.empty(int(line.partition(b":")[2]), np.uint8))  # type: ignore[arg-type]
            self._body[: len(begun)] = begun
            self._came = len(begun)
        else:
            self._came += count
        if self._came == len(self._body):
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self._came)  # type: ignore[attr-defined]
            self._transport.write(self._body)  # type: ignore[attr-defined]
            self._body, self._came = memoryview(b""), 0


async def echo() -> None:
    """Serve until killed, and print the port."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(json.dumps({"http": server.sockets[0].getsockname()[1], "grpc": 0}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="a checkout to compare with")
    parser.add_argument("--perf-analyzer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.echo:
        run_echo()
        return
    with contextlib.ExitStack() as stack:
        repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_models(repository)
        other = (
            {"other": tcli_serve(repository, checkout=args.against)}
            if args.against
            else {"aio": tcli_serve(repository, "--grpc-engine=aio")}
        )
        servers = {name: stack.enter_context(one) for name, one in {"tcli": tcli_serve(repository), **other}.items()}
        bare = stack.enter_context(printing_ports(Path(__file__).name, "--echo"))
        rates: dict[str, dict[str, list[float]]] = {}
        times: dict[str, dict[str, list[float]]] = {}
        for number in range(args.rounds):
            for model, width in WIDTHS.items():
                inputs = [f"INPUT0:1,{width}"]
                for protocol in ("http", "grpc"):
                    row = rates.setdefault(f"{model}, {protocol}", {})
                    for name, server in servers.items():
                        used = server.cpu_seconds()
                        if args.perf_analyzer:
                            rate = measure(args.perf_analyzer, server, model, 1, args.seconds / 3, protocol)
                        else:
                            found = checked_load(protocol, server, model, inputs, 1, args.seconds)
                            rate = found["requests_per_second"]
                            spent = (server.cpu_seconds() - used) / found["requests"]
                            times.setdefault(f"{model}, {protocol}", {}).setdefault(name, []).append(spent)
                        row.setdefault(name, []).append(rate)
                    if protocol == "http" and not args.perf_analyzer:
                        least = load(protocol, bare.http, model, inputs, 1, args.seconds)["requests_per_second"]
                        row.setdefault("bare", []).append(least)
                    last = ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in row.items())
                    print(f"round {number + 1}: {model}, {protocol}: {last}", file=sys.stderr)
        for figure, rows in (("rate", rates), ("processor time of the server", times)):
            for what, row in rows.items():
                for base in (name for name in row if name != "tcli"):
                    ratios = sorted(one / two for one, two in zip(row["tcli"], row[base], strict=True))
                    print(
                        f"{what}, {figure}: tcli / {base}: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                    )
        write_json(args.json, {"requests_per_second": rates, "processor_seconds_per_request": times})


def run_echo() -> None:
    try:
        import uvloop

        uvloop.run(echo())
    except ImportError:
        asyncio.run(echo())


if __name__ == "__main__":
    main()
