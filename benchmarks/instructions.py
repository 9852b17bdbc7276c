"""How many instructions the server needs for a request: a figure that does not depend on what else the machine does.

    python benchmarks/instructions.py [CHECKOUT ...] [--option=OPTION ...] [--requests 300] [--json FILE]

`tcli serve` runs under valgrind's callgrind, which counts from when the server is ready and warm; requests come one at a time. A
tiny model (add_sub), over HTTP and over gRPC. Needs valgrind; Linux.
"""

import argparse
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np

from front_end import write_repository
from load import grpc_request, http_request
from running import HERE, Ports, tcli_serve, write_json

_WARM_UP = 100
"""Requests until caches are full, and until the server has seen how quick the model is."""

_TOTAL = re.compile(rb"^(?:summary|totals): (\d+)", re.MULTILINE)


class NoValgrindError(Exception):
    """There is no valgrind on this machine."""


def instructions(checkout: Path, requests: int, options: Sequence[str] = ()) -> dict[str, float]:
    """Instructions for a request, by protocol.

    Raises:
        NoValgrindError: it is not installed.
    """
    if shutil.which("callgrind_control") is None:
        raise NoValgrindError("valgrind is not installed; on Debian: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        repository = write_repository(Path(folder) / "models")
        output = Path(folder) / "callgrind.out"
        valgrind = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={output}")
        with tcli_serve(repository, *options, checkout=checkout, under=valgrind) as server:
            return {
                protocol: _counted(server, protocol, requests, output, number)
                for number, protocol in enumerate(("http", "grpc"), 1)
            }


def _counted(server: Ports, protocol: str, requests: int, output: Path, number: int) -> float:
    ask = _http if protocol == "http" else _grpc
    ask(server, _WARM_UP)
    _control(server, "--instr=on")
    _control(server, "--zero")
    ask(server, requests)
    _control(server, "--dump")
    _control(server, "--instr=off")
    dumped = output.with_name(f"{output.name}.{number}").read_bytes()
    total = _TOTAL.search(dumped)
    assert total is not None, dumped[-500:]
    return int(total[1]) / requests


def _control(server: Ports, command: str) -> None:
    subprocess.run(["callgrind_control", command, str(server.pid)], check=True, capture_output=True, timeout=60)


def _inputs() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.random([1, 16], np.float32) for name in ("INPUT0", "INPUT1")}


def _http(server: Ports, count: int) -> None:
    request = http_request("127.0.0.1", "add_sub", _inputs())
    with socket.create_connection(("127.0.0.1", server.http), timeout=60) as connection:
        for _ in range(count):
            connection.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), answer
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None, answer
            while len(body) < int(length[1]):
                body += connection.recv(65536)


def _grpc(server: Ports, count: int) -> None:
    request = grpc_request("add_sub", _inputs())
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(count):
            call(request, timeout=60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, nargs="*", default=[HERE.parent], metavar="CHECKOUT")
    parser.add_argument("--option", action="append", default=[], help="of tcli serve")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = {}
    for checkout in args.checkouts:
        try:
            figures[str(checkout)] = figure = instructions(checkout, args.requests, args.option)
        except NoValgrindError as error:
            sys.exit(str(error))
        for protocol, count in figure.items():
            print(f"{checkout} {protocol}: {count:,.0f} instructions a request", flush=True)
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
