"""Nothing is lost or done twice over gRPC: what clients count against the server's own statistics, for each engine.

    python benchmarks/grpc_counts.py [--engine nghttp2 aio] [--requests 20000] [--streams 1000] [--json FILE]

- h2load (Debian's nghttp2-client), which knows HTTP/2 and nothing of gRPC: requests on 8 connections, 16 at once on each; left out where it is
  not installed.
- Calls at once on one connection, and as many open streams with five requests each, by grpc.aio: each asks with numbers of its own and
  looks whether it gets their sum. All streams are open before any of them ends.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from front_end import write_repository
from running import Ports, settled_successes, tcli_serve, write_json

MODEL = "add_sub"
PER_STREAM = 5
SECS = 120
PATH = "/inference.GRPCInferenceService/ModelInfer"


def request(number: int) -> pb.ModelInferRequest:
    """Of two tensors that are full of a number."""
    message = pb.ModelInferRequest(model_name=MODEL)
    for name in ("INPUT0", "INPUT1"):
        message.inputs.add(name=name, datatype="FP32", shape=[1, 16])
        message.raw_input_contents.append(np.full(16, number, np.float32).tobytes())
    return message


def is_sum(answer: pb.ModelInferResponse, number: int) -> bool:
    """Whether it is what `request` asks for."""
    sums = np.frombuffer(answer.raw_output_contents[0], np.float32)
    return sums.shape == (16,) and bool((sums == 2 * number).all())


def h2load(program: str, server: Ports, requests: int) -> int:
    """Answers with the status 200 of HTTP; whether they are good ones of gRPC is for the server's statistics to say.

    Raises:
        RuntimeError: a request was not answered.
    """
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        data = request(1).SerializeToString()
        body.write_bytes(b"\0" + len(data).to_bytes(4, "big") + data)
        command = [
            *(program, "-n", str(requests), "-c", "8", "-m", "16", "-d", str(body)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers", f"http://127.0.0.1:{server.grpc}{PATH}"),
        ]
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECS).stdout
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", told)
    if counts is None or [int(count) for count in counts.groups()] != [requests, 0, 0, 0]:
        raise RuntimeError(f"h2load: {told}")
    return int(counts[1])


async def calls(server: Ports, count: int) -> int:
    """Right answers to calls that are all made at once on one connection."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answers = await asyncio.gather(*(stub.ModelInfer(request(number), timeout=SECS) for number in range(count)))
    return sum(is_sum(answer, number) for number, answer in enumerate(answers))


async def streams(server: Ports, count: int) -> int:
    """Right answers on streams that are all open at once on one connection."""
    opened = 0
    all_open = asyncio.Event()

    async def talk(stub: service_pb2_grpc.GRPCInferenceServiceStub, number: int) -> int:
        nonlocal opened
        stream = stub.ModelStreamInfer(timeout=SECS)
        right = 0
        for turn in range(PER_STREAM):
            await stream.write(request(number + turn))
            right += is_sum((await stream.read()).infer_response, number + turn)
            if turn == 0:
                opened += 1
                if opened == count:
                    all_open.set()
                await all_open.wait()
        await stream.done_writing()
        if await stream.read() is not grpc.aio.EOF or await stream.code() is not grpc.StatusCode.OK:
            raise RuntimeError(f"stream {number} did not end well")
        return right

    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return sum(await asyncio.gather(*(talk(stub, number) for number in range(count))))


def check(what: str, server: Ports, before: int, asked: int, answered: int) -> dict[str, int]:
    """Compare and print.

    Raises:
        RuntimeError: the counts differ.
    """
    executed = settled_successes(server.http, MODEL) - before
    print(f"{what}: asked {asked}, answered {answered}, executed {executed}")
    if not asked == answered == executed:
        raise RuntimeError(f"{what}: the counts differ")
    return {"asked": asked, "answered": answered, "executed": executed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["nghttp2", "aio"], nargs="+", default=["nghttp2", "aio"])
    parser.add_argument("--requests", type=int, default=20_000, help="of h2load")
    parser.add_argument("--streams", type=int, default=1000, help="calls, and streams, at once on one connection")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    figures: dict[str, dict[str, int]] = {}
    program = shutil.which("h2load")
    with tempfile.TemporaryDirectory() as folder:
        repository = write_repository(Path(folder))
        for engine in args.engine:
            with tcli_serve(repository, f"--grpc-engine={engine}") as server:
                if program is not None:
                    before = settled_successes(server.http, MODEL)
                    answered = h2load(program, server, args.requests)
                    what = f"{engine}, h2load"
                    figures[what] = check(what, server, before, args.requests, answered)
                for name, ask, each in (("calls", calls, 1), ("streams", streams, PER_STREAM)):
                    before = settled_successes(server.http, MODEL)
                    answered = asyncio.run(ask(server, args.streams))
                    what = f"{engine}, {args.streams} {name} at once"
                    figures[what] = check(what, server, before, args.streams * each, answered)
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
