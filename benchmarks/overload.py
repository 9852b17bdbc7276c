"""Ten times as many requests as a model can answer: who is answered, how late, and is anybody forgotten?

    python benchmarks/overload.py [--seconds 60] [--unbounded-seconds 6] [--times 10] [--json FILE]

A model that takes 20 ms a request, one at a time, so 50 a second; requests come at ten times that rate whether or not others are answered
(open loop), half over HTTP and half over gRPC. Once with a queue policy (`max_queue_size: 16`) and, for a shorter time, without any. Latency
counts from when a request was due. Counted by clients and server: both must agree. Memory is that of the server and its model together.
"""

import argparse
import asyncio
import contextlib
import re
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import psutil

from load import grpc_request, http_request
from running import Ports, tcli_serve, write_json
from soak_models import SHAPE, write_slow

_SERVICE_SECS = 0.02
_CHANNELS = 4


@dataclass
class Heard:
    """What the clients of one protocol got.

    Attributes:
        seconds: from when each answered request was due to its answer.
        ends: requests by how they ended; `answered` for those that were.
        told: of those that were refused, how many were told when to try again.
    """

    seconds: list[float] = field(default_factory=list)
    ends: "Counter[str]" = field(default_factory=Counter)
    refused_seconds: list[float] = field(default_factory=list)
    told: int = 0

    def end(self, status: str, due: float, told: bool) -> None:
        self.ends[status] += 1
        passed = asyncio.get_running_loop().time() - due
        (self.seconds if status == "answered" else self.refused_seconds).append(passed)
        self.told += told


class HttpClient:
    """Requests on kept-alive connections, as many as are needed."""

    def __init__(self, port: int, heard: Heard) -> None:
        self._port = port
        self._heard = heard
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._request = http_request("overload", "slow", {"INPUT0": np.zeros(SHAPE, np.float32)})

    async def ask(self, due: float) -> None:
        try:
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(re.search(rb"\r\ncontent-length: (\d+)", head)[1]))
        except (OSError, asyncio.IncompleteReadError) as error:
            self._heard.end(type(error).__name__, due, False)
            return
        status = head[9:12].decode()
        self._heard.end("answered" if status == "200" else status, due, b"\r\nretry-after: " in head)
        if b"\r\nconnection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


class GrpcClient:
    """Calls on a few channels."""

    def __init__(self, port: int, heard: Heard) -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", own) for _ in range(_CHANNELS)]
        self._calls = [channel.unary_unary("/inference.GRPCInferenceService/ModelInfer") for channel in self._channels]
        self._heard = heard
        self._request = grpc_request("slow", {"INPUT0": np.zeros(SHAPE, np.float32)})
        self._number = 0

    async def ask(self, due: float) -> None:
        self._number += 1
        try:
            await self._calls[self._number % _CHANNELS](self._request)
        except grpc.aio.AioRpcError as error:
            told = any(name == "grpc-retry-pushback-ms" for name, _ in error.trailing_metadata())
            self._heard.end(error.code().name, due, told)
        else:
            self._heard.end("answered", due, False)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


async def offer(server: Ports, rate: float, seconds: float, sizes: list[float]) -> dict[str, Heard]:
    """Requests at an even rate, and their ends, all waited for; `sizes` gets the server's memory once a second."""
    loop = asyncio.get_running_loop()
    heard = {"http": Heard(), "grpc": Heard()}
    clients = [HttpClient(server.http, heard["http"]), GrpcClient(server.grpc, heard["grpc"])]
    asked: set[asyncio.Task[None]] = set()
    begin = loop.time()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        asked.add(loop.create_task(clients[number % 2].ask(due)))
        if number % int(rate) == 0:
            sizes.append(await asyncio.to_thread(megabytes, server))
    await asyncio.gather(*asked)
    for client in clients:
        await client.close()
    return heard


def megabytes(server: Ports) -> float:
    """Of the server and its model, shared pages by their share."""
    process = psutil.Process(server.pid)
    return sum(float(one.memory_full_info().pss) for one in (process, *process.children(recursive=True))) / 1e6


def counted(server: Ports) -> "Counter[str]":
    """What the server counted: `answered`, and failures by their reason."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if match := re.match(r"nv_inference_request_(success|failure)\{(.*)\} (\S+)", line):
            reason = re.search('reason="([^"]*)"', match[2])
            found["answered" if reason is None else reason[1]] += int(float(match[3]))
    return found


def measure(policy: str, rate: float, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        repository = write_slow(Path(folder) / "models", _SERVICE_SECS, policy)
        server = stack.enter_context(tcli_serve(repository))
        asyncio.run(offer(server, 20, 2, []))  # what is made once is there
        before, sizes = counted(server), []
        began = time.monotonic()
        heard = asyncio.run(offer(server, rate, seconds, sizes))
        took = time.monotonic() - began
        after = counted(server) - before
    return {
        "policy": policy or "none",
        "asked": int(rate * seconds),
        "seconds until all had ended": round(took, 1),
        **{protocol: summary(one) for protocol, one in heard.items()},
        "server counted": dict(after),
        "server MB": [round(min(sizes), 1), round(max(sizes), 1), round(sizes[-1] - sizes[0], 1)],
    }


def summary(heard: Heard) -> dict[str, object]:
    found: dict[str, object] = {"ends": dict(heard.ends), "told when to try again": heard.told}
    for name, seconds in (("answered", heard.seconds), ("refused", heard.refused_seconds)):
        if seconds:
            found[f"{name} ms p50, p99, max"] = [
                round(float(np.percentile(seconds, q)) * 1e3, 1) for q in (50, 99, 100)
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="with the queue policy")
    parser.add_argument(
        "--unbounded-seconds", type=float, default=6, help="without; ten times that until all is answered"
    )
    parser.add_argument("--times", type=float, default=10, help="how many times what the model can do")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rate = args.times / _SERVICE_SECS
    found = []
    for policy, seconds in (("max_queue_size: 16", args.seconds), ("", args.unbounded_seconds)):
        found.append(measure(policy, rate, seconds))
        for name, value in found[-1].items():
            print(f"{name}: {value}", flush=True)
        print()
    write_json(args.json, found)


if __name__ == "__main__":
    main()
